// left_rows: slices of the left operand where it is stored [ROWS, K]
//   a slice keeps four k of one row in a cell; the xor spreads the cells of one k over memory banks

fn left_height() -> u32 { return size.rows; }
fn left_width() -> u32 { return size.depth; }
fn left_stride() -> u32 { return size.left_stride; }

fn left_cell(r: u32, k: u32) -> u32 { return r * (DEPTH / 4u) + ((k / 4u) ^ (r / 4u % (DEPTH / 4u))); }

fn left_fill(i: u32, row0: u32, k0: u32) {
  let r = i / (DEPTH / 4u);
  let k = i % (DEPTH / 4u) * 4u;
  if (k0 + k < span()) { lefts[left_cell(r, k)] = left_at(min(row0 + r, size.rows - 1u), k0 + k); }
}

// The 4x4 block at (r, k) of the slice; column j is k + j.
fn left_block(r: u32, k: u32) -> mat4x4f {
  return transpose(mat4x4f(
    lefts[left_cell(r, k)],
    lefts[left_cell(r + 1u, k)],
    lefts[left_cell(r + 2u, k)],
    lefts[left_cell(r + 3u, k)],
  ));
}
