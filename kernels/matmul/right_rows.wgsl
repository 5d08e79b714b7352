// right_rows: slices of the right operand where it is stored [COLS, K]
//   a slice keeps four k of one col in a cell; the xor spreads the cells of one k over memory banks

fn right_height() -> u32 { return size.cols; }
fn right_width() -> u32 { return size.depth; }

fn right_cell(r: u32, k: u32) -> u32 { return r * (DEPTH / 4u) + ((k / 4u) ^ (r / 4u % (DEPTH / 4u))); }

fn right_fill(i: u32, col0: u32, k0: u32) {
  let r = i / (DEPTH / 4u);
  let k = i % (DEPTH / 4u) * 4u;
  if (k0 + k < span()) { rights[right_cell(r, k)] = right_at(min(col0 + r, size.cols - 1u), k0 + k); }
}

// The 4x4 block at (r, k) of the slice; column j is k + j.
fn right_block(r: u32, k: u32) -> mat4x4f {
  return transpose(mat4x4f(
    rights[right_cell(r, k)],
    rights[right_cell(r + 1u, k)],
    rights[right_cell(r + 2u, k)],
    rights[right_cell(r + 3u, k)],
  ));
}
