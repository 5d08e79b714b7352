// low_block_columns: 4x4 blocks of up where it is stored [LOW, COLS], as the right operand is

fn low_height() -> u32 { return size.low; }
fn low_width() -> u32 { return size.cols; }

fn low_block(col: u32, k: u32) -> mat4x4f {
  let c = min(col, (size.cols - 1u) / 4u * 4u);
  return mat4x4f(low_right(k, c), low_right(k + 1u, c), low_right(k + 2u, c), low_right(k + 3u, c));
}
