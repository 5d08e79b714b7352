// left_columns: slices of the left operand where it is stored [K, ROWS]
//   a slice keeps four rows of one k in a cell

fn left_height() -> u32 { return size.depth; }
fn left_width() -> u32 { return size.rows; }
fn left_stride() -> u32 { return size.rows; }

fn left_fill(i: u32, row0: u32, k0: u32) {
  let k = k0 + i / (ACROSS / 4u);
  let c = row0 + i % (ACROSS / 4u) * 4u;
  var v = vec4f();
  if (k < size.depth && c < size.rows) { v = left(k, c); }
  lefts[i] = v;
}

// The 4x4 block at (r, k) of the slice; column j is k + j.
fn left_block(r: u32, k: u32) -> mat4x4f {
  let at = k * (ACROSS / 4u) + r / 4u;
  return mat4x4f(lefts[at], lefts[at + ACROSS / 4u], lefts[at + ACROSS / 2u], lefts[at + ACROSS / 4u * 3u]);
}
