// right_any: four neighbours of the right operand as it is stored, f32[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   f32   read   any size; zero outside

@group(0) @binding(1) var<storage, read> b: array<f32>;

fn right(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < right_height()) {
    for (var i = 0u; i < min(4u, max(c, right_width()) - c); i++) { v[i] = b[r * right_width() + c + i]; }
  }
  return v;
}
