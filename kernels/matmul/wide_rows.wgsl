// wide_rows: 4x4 blocks of the right operand where it is stored [COLS, K]; column j of a block is k + j

const RIGHT_HEIGHT = COLS;
const RIGHT_WIDTH = K;

fn right_block(col: u32, k: u32) -> mat4x4f {
  const last = COLS - 1u;
  return transpose(mat4x4f(
    right(min(col, last), k),
    right(min(col + 1u, last), k),
    right(min(col + 2u, last), k),
    right(min(col + 3u, last), k),
  ));
}
