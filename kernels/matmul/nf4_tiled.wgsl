// nf4_tiled: a matrix of 4-bit codes in tiles of 4 rows and 8 columns, and where the scales of a tile are
//   b   u32   read   codes of RIGHT_HEIGHT x RIGHT_WIDTH numbers, then scales

@group(0) @binding(1) var<storage, read> b: array<vec4u>;

fn nf4_word(i: u32) -> u32 { return b[i / 4u][i % 4u]; }

fn nf4_codes(r: u32, c: u32) -> vec4u { return b[r / 4u * (right_width() / 8u) + c / 8u]; }

// The place of a scale in row-major order, and among the scales as they are stored.
fn nf4_block(r: u32, c: u32) -> u32 { return r * (right_width() / 64u) + c / 64u; }
fn nf4_place(r: u32, c: u32) -> u32 { return nf4_block(r - r % 4u, c) + 3u * (c / 64u) + r % 4u; }
