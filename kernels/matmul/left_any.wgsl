// left_any: four neighbours of the left operand as it is stored, f32[LEFT_HEIGHT, LEFT_WIDTH], rows LEFT_STRIDE apart
//   a   f32   read   any size; zero outside

@group(0) @binding(0) var<storage, read> a: array<f32>;

fn left(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < left_height()) {
    for (var i = 0u; i < min(4u, max(c, left_width()) - c); i++) { v[i] = a[r * left_stride() + c + i]; }
  }
  return v;
}
