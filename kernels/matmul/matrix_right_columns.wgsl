// matrix_right_columns: slices of the right operand where it is stored [K, COLS], for matrix_tile
//   a slice is kept as the operand is stored, its cols side by side; a cell is four of them

const RIGHT_COLUMNS = true;
const RIGHT_STRIDE = ALONG + PAD;
const RIGHT_SIZE = DEPTH * RIGHT_STRIDE;

fn right_height() -> u32 { return size.depth; }
fn right_width() -> u32 { return size.cols; }

fn right_cell(i: u32, col0: u32, k0: u32) -> vec4f {
  let k = k0 + i / (ALONG / 4u);
  let c = col0 + i % (ALONG / 4u) * 4u;
  var v = vec4f();
  if (k < span() && c < size.cols) { v = right_at(k, c); }
  return v;
}

fn right_slot(i: u32) -> u32 { return i / (ALONG / 4u) * RIGHT_STRIDE + i % (ALONG / 4u) * 4u; }
fn right_place(k: u32, c: u32) -> u32 { return k * RIGHT_STRIDE + c; }
