// left_columns: slices of the left operand where it is stored [K, ROWS]
//   a slice keeps four rows of one k in a cell

const LEFT_HEIGHT = K;
const LEFT_WIDTH = ROWS;

fn left_fill(i: u32, row0: u32, k0: u32) {
  let k = k0 + i / (ACROSS / 4u);
  let c = row0 + i % (ACROSS / 4u) * 4u;
  var v = vec4f();
  if (k < K && c < ROWS) { v = left(k, c); }
  lefts[i] = v;
}

// The 4x4 block at (r, k) of the slice; column j is k + j.
fn left_block(r: u32, k: u32) -> mat4x4f {
  let at = k * (ACROSS / 4u) + r / 4u;
  return mat4x4f(lefts[at], lefts[at + ACROSS / 4u], lefts[at + ACROSS / 2u], lefts[at + ACROSS / 4u * 3u]);
}
