// low_block_rows: 4x4 blocks of up where it is stored [COLS, LOW], as the right operand is

fn low_height() -> u32 { return size.cols; }
fn low_width() -> u32 { return size.low; }

fn low_block(col: u32, k: u32) -> mat4x4f {
  let last = size.cols - 1u;
  return transpose(mat4x4f(
    low_right(min(col, last), k),
    low_right(min(col + 1u, last), k),
    low_right(min(col + 2u, last), k),
    low_right(min(col + 3u, last), k),
  ));
}
