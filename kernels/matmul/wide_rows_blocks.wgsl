// wide_rows_blocks: 4x4 blocks of the right operand where it is stored [COLS, K]; column j of a block is k + j
//   the blocks in a row that share their scales look them up once

var<private> held_scales: Scales;
var<private> held_at = 0xffffffffu;

fn right_height() -> u32 { return size.cols; }
fn right_width() -> u32 { return size.depth; }

fn right_block(col: u32, k: u32) -> mat4x4f {
  let g = min(col, size.cols - 1u) / 4u;
  if (held_at != k / SHARED) {
    held_at = k / SHARED;
    held_scales = scales(g, k);
  }
  let all = codes(g, k);
  let unit = held_scales.unit;
  let least = held_scales.least;
  return mat4x4f(
    all[0] * unit - least,
    all[1] * unit - least,
    all[2] * unit - least,
    all[3] * unit - least,
  );
}
