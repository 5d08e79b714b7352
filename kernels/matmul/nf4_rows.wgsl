// nf4_rows: a matrix of 4-bit codes in row-major order
//   b   u32   read   codes of RIGHT_HEIGHT x RIGHT_WIDTH numbers, then scales

@group(0) @binding(1) var<storage, read> b: array<u32>;

fn nf4_word(i: u32) -> u32 { return b[i]; }

fn nf4_block(r: u32, c: u32) -> u32 { return (r * right_width() + c) / 64u; }
fn nf4_place(r: u32, c: u32) -> u32 { return nf4_block(r, c); }
