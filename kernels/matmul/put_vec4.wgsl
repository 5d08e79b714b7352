// put_vec4: writes four neighbours in a row of y; OUT_STRIDE, COLS and col are multiples of 4
//   y   f32[ROWS, OUT_STRIDE]   read_write   read only to accumulate

alias Cell = vec4f;
@group(0) @binding(2) var<storage, read_write> y: array<Cell>;

fn put(row: u32, col: u32, sum: vec4f) {
  if (row < size.rows && col < size.cols) {
    let at = (row * size.out_stride + col) / 4u;
    y[at] = finish(sum, at, col / 4u);
  }
}
