// put_half_vec4: writes four neighbours in a row of y; OUT_STRIDE, COLS and col are multiples of 4
//   y  u32[ROWS, OUT_STRIDE / 2]   write   two f16 a word

alias Cell = vec4f;
@group(0) @binding(2) var<storage, read_write> y: array<vec2u>;

fn put(row: u32, col: u32, sum: vec4f) {
  if (row < size.rows && col < size.cols) {
    let at = (row * size.out_stride + col) / 4u;
    y[at] = to_half(finish(sum, at, col / 4u));
  }
}
