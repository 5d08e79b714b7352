// put_any: writes up to four neighbours in a row of y
//   y   f32[ROWS, OUT_STRIDE]   read_write   read only to accumulate

alias Cell = f32;
@group(0) @binding(2) var<storage, read_write> y: array<Cell>;

fn put(row: u32, col: u32, sum: vec4f) {
  if (row < size.rows) {
    for (var i = 0u; i < min(4u, max(col, size.cols) - col); i++) {
      let at = row * size.out_stride + col + i;
      y[at] = finish(sum[i], at, col + i);
    }
  }
}
