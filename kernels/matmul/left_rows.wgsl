// left_rows: 4x4 blocks of the left operand where it is stored [ROWS, K]; column j of a block is k + j

const LEFT_HEIGHT = ROWS;
const LEFT_WIDTH = K;

fn left_block(row: u32, k: u32) -> mat4x4f {
  const last = ROWS - 1u;
  return transpose(mat4x4f(
    left(min(row, last), k),
    left(min(row + 1u, last), k),
    left(min(row + 2u, last), k),
    left(min(row + 3u, last), k),
  ));
}

// Block i of a tile of (across, deep) blocks: neighbours in i are neighbours in memory.
fn left_place(i: u32, across: u32, deep: u32) -> vec2u { return vec2u(i / deep, i % deep); }
