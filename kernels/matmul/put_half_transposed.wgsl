// put_half_transposed: writes up to four neighbours in a column of y, whose rows are the tile's columns
//   y  u32[COLS, OUT_STRIDE / 2]   write   two f16 a word
//   Two rows of the tile share a word: an even row, which the caller gives first, waits for the next one.

alias Cell = f32;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

var<private> even: vec4f;

fn put(row: u32, col: u32, sum: vec4f) {
  if (row % 2u == 0u) {
    even = sum;
    return;
  }
  if (row < size.rows) {
    for (var i = 0u; i < min(4u, max(col, size.cols) - col); i++) {
      let at = (col + i) * size.out_stride + row;
      y[at / 2u] = half_pair(vec2f(finish(even[i], at - 1u, row - 1u), finish(sum[i], at, row)));
    }
  }
}
