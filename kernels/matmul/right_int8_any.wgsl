// right_int8_any: four neighbours of the right operand as it is stored, int8[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   codes in row-major order, four to a word, then an f32 scale a row; any size; zero outside

@group(0) @binding(1) var<storage, read> b: array<u32>;

fn right(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < right_height()) {
    for (var i = 0u; i < min(4u, max(c, right_width()) - c); i++) {
      let at = r * right_width() + c + i;
      v[i] = f32(bitcast<i32>(b[at / 4u] << (24u - at % 4u * 8u)) >> 24u);
    }
    v *= bitcast<f32>(b[(right_height() * right_width() + 3u) / 4u + r]);
  }
  return v;
}
