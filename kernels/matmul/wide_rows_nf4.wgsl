// wide_rows_nf4: 4x4 blocks of the right operand where it is stored [COLS, K]; column j of a block is k + j
//   the 16 blocks in a row that share their scales look them up once

var<private> row_scales: vec4f;
var<private> row_block = 0xffffffffu;

fn right_height() -> u32 { return size.cols; }
fn right_width() -> u32 { return size.depth; }

fn right_block(col: u32, k: u32) -> mat4x4f {
  let r = min(col / 4u, size.cols / 4u - 1u) * 4u;
  if (row_block != k / 64u) {
    row_block = k / 64u;
    row_scales = nf4_scales(r, k);
  }
  let words = nf4_codes(r, k) >> vec4u(k % 8u * 4u);
  return mat4x4f(
    nf4_values(words >> vec4u(4u)) * row_scales,
    nf4_values(words) * row_scales,
    nf4_values(words >> vec4u(12u)) * row_scales,
    nf4_values(words >> vec4u(8u)) * row_scales,
  );
}
