// wide_columns: 4x4 blocks of the right operand where it is stored [K, COLS]; column j of a block is k + j

fn right_height() -> u32 { return size.depth; }
fn right_width() -> u32 { return size.cols; }

fn right_block(col: u32, k: u32) -> mat4x4f {
  let c = min(col, (size.cols - 1u) / 4u * 4u);
  let last = size.depth - 1u; // what is read there in place of what is outside meets zeros of the left operand
  return mat4x4f(
    right(k, c),
    right(min(k + 1u, last), c),
    right(min(k + 2u, last), c),
    right(min(k + 3u, last), c),
  );
}
