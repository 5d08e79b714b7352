// matrix_left_rows: slices of the left operand where it is stored [ROWS, K], for matrix_tile
//   a slice is kept as the operand is stored, its k side by side; a cell is four of them

const LEFT_COLUMNS = false;
const LEFT_STRIDE = DEPTH + PAD;
const LEFT_SIZE = ACROSS * LEFT_STRIDE;

fn left_height() -> u32 { return size.rows; }
fn left_width() -> u32 { return size.depth; }
fn left_stride() -> u32 { return size.left_stride; }

fn left_cell(i: u32, row0: u32, k0: u32) -> vec4f {
  let k = k0 + i % (DEPTH / 4u) * 4u;
  var v = vec4f();
  if (k < span()) { v = left_at(min(row0 + i / (DEPTH / 4u), size.rows - 1u), k); }
  return v;
}

fn left_slot(i: u32) -> u32 { return i / (DEPTH / 4u) * LEFT_STRIDE + i % (DEPTH / 4u) * 4u; }
fn left_place(r: u32, k: u32) -> u32 { return r * LEFT_STRIDE + k; }
