// wide_rows: 4x4 blocks of the right operand where it is stored [COLS, K]; column j of a block is k + j

fn right_height() -> u32 { return size.cols; }
fn right_width() -> u32 { return size.depth; }

fn right_block(col: u32, k: u32) -> mat4x4f {
  let last = size.cols - 1u;
  return transpose(mat4x4f(
    right(min(col, last), k),
    right(min(col + 1u, last), k),
    right(min(col + 2u, last), k),
    right(min(col + 3u, last), k),
  ));
}
