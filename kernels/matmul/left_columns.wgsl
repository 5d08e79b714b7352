// left_columns: 4x4 blocks of the left operand where it is stored [K, ROWS]; column j of a block is k + j

const LEFT_HEIGHT = K;
const LEFT_WIDTH = ROWS;

fn left_block(row: u32, k: u32) -> mat4x4f {
  let c = min(row, (ROWS - 1u) / 4u * 4u);
  return mat4x4f(left(k, c), left(k + 1u, c), left(k + 2u, c), left(k + 3u, c));
}

// Block i of a tile of (across, deep) blocks: neighbours in i are neighbours in memory.
fn left_place(i: u32, across: u32, deep: u32) -> vec2u { return vec2u(i % across, i / across); }
