// wide_columns: 4x4 blocks of the right operand where it is stored [K, COLS]; column j of a block is k + j

fn right_height() -> u32 { return size.depth; }
fn right_width() -> u32 { return size.cols; }

fn right_block(col: u32, k: u32) -> mat4x4f {
  let c = min(col, (size.cols - 1u) / 4u * 4u);
  return mat4x4f(right(k, c), right(k + 1u, c), right(k + 2u, c), right(k + 3u, c));
}
