// wide_columns: 4x4 blocks of the right operand where it is stored [K, COLS]; column j of a block is k + j

const RIGHT_HEIGHT = K;
const RIGHT_WIDTH = COLS;

fn right_block(col: u32, k: u32) -> mat4x4f {
  let c = min(col, (COLS - 1u) / 4u * 4u);
  return mat4x4f(right(k, c), right(k + 1u, c), right(k + 2u, c), right(k + 3u, c));
}
