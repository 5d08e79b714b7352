// low_any: four neighbours of the low-rank factors
//   low   f32[ROWS, LOW]               read   any size; zero outside
//   up    f32[LOW_HEIGHT, LOW_WIDTH]   read   any size; zero outside

@group(0) @binding(4) var<storage, read> low: array<f32>;
@group(0) @binding(5) var<storage, read> up: array<f32>;

fn low_left(r: u32, k: u32) -> vec4f {
  var v = vec4f();
  if (r < size.rows) {
    for (var i = 0u; i < min(4u, max(k, size.low) - k); i++) { v[i] = low[r * size.low + k + i]; }
  }
  return v;
}

fn low_right(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < low_height()) {
    for (var i = 0u; i < min(4u, max(c, low_width()) - c); i++) { v[i] = up[r * low_width() + c + i]; }
  }
  return v;
}
