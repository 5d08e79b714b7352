// matrix_right_rows: slices of the right operand where it is stored [COLS, K], for matrix_tile
//   a slice is kept as the operand is stored, its k side by side; a cell is four of them

const RIGHT_COLUMNS = false;
const RIGHT_STRIDE = DEPTH + PAD;
const RIGHT_SIZE = ALONG * RIGHT_STRIDE;

fn right_height() -> u32 { return size.cols; }
fn right_width() -> u32 { return size.depth; }

fn right_cell(i: u32, col0: u32, k0: u32) -> vec4f {
  let k = k0 + i % (DEPTH / 4u) * 4u;
  var v = vec4f();
  if (k < span()) { v = right_at(min(col0 + i / (DEPTH / 4u), size.cols - 1u), k); }
  return v;
}

fn right_slot(i: u32) -> u32 { return i / (DEPTH / 4u) * RIGHT_STRIDE + i % (DEPTH / 4u) * 4u; }
fn right_place(k: u32, c: u32) -> u32 { return c * RIGHT_STRIDE + k; }
