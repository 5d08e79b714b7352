// right_columns: slices of the right operand where it is stored [K, COLS]
//   a slice keeps four cols of one k in a cell

fn right_height() -> u32 { return size.depth; }
fn right_width() -> u32 { return size.cols; }

fn right_fill(i: u32, col0: u32, k0: u32) {
  let k = k0 + i / (ALONG / 4u);
  let c = col0 + i % (ALONG / 4u) * 4u;
  var v = vec4f();
  if (k < span() && c < size.cols) { v = right_at(k, c); }
  rights[i] = v;
}

// The 4x4 block at (r, k) of the slice; column j is k + j.
fn right_block(r: u32, k: u32) -> mat4x4f {
  let at = k * (ALONG / 4u) + r / 4u;
  return mat4x4f(rights[at], rights[at + ALONG / 4u], rights[at + ALONG / 2u], rights[at + ALONG / 4u * 3u]);
}
