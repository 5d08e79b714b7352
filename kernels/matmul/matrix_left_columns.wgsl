// matrix_left_columns: slices of the left operand where it is stored [K, ROWS], for matrix_tile
//   a slice is kept as the operand is stored, its rows side by side; a cell is four of them

const LEFT_COLUMNS = true;
const LEFT_STRIDE = ACROSS + PAD;
const LEFT_SIZE = DEPTH * LEFT_STRIDE;

fn left_height() -> u32 { return size.depth; }
fn left_width() -> u32 { return size.rows; }
fn left_stride() -> u32 { return size.rows; }

fn left_cell(i: u32, row0: u32, k0: u32) -> vec4f {
  let k = k0 + i / (ACROSS / 4u);
  let c = row0 + i % (ACROSS / 4u) * 4u;
  var v = vec4f();
  if (k < size.depth && c < size.rows) { v = left(k, c); }
  return v;
}

fn left_slot(i: u32) -> u32 { return i / (ACROSS / 4u) * LEFT_STRIDE + i % (ACROSS / 4u) * 4u; }
fn left_place(r: u32, k: u32) -> u32 { return k * LEFT_STRIDE + r; }
