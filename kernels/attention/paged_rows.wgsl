// paged_rows: keys lie in pages of PAGE rows, in any order (PagedAttention, Kwon et al. 2023)
//   pages   u32   read   where the keys from PAGE i on are

override PAGE: u32;

@group(0) @binding(6) var<storage, read> pages: array<u32>;

fn row_of(key: u32) -> u32 { return pages[key / PAGE] * PAGE + key % PAGE; }
