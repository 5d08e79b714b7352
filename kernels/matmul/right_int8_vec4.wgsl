// right_int8_vec4: four neighbours of the right operand as it is stored, int8[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   codes in row-major order, four to a word, then an f32 scale a row; RIGHT_WIDTH and c are
//                    multiples of 4; the caller stays inside

@group(0) @binding(1) var<storage, read> b: array<u32>;

fn right(r: u32, c: u32) -> vec4f {
  let width = right_width() / 4u;
  let codes = bitcast<vec4i>(vec4u(b[r * width + c / 4u]) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
  return vec4f(codes) * bitcast<f32>(b[right_height() * width + r]);
}
