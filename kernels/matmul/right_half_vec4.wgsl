// right_half_vec4: four neighbours of the right operand as it is stored, 16-bit[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   two numbers a word; RIGHT_WIDTH and c are multiples of 4; the caller stays inside

@group(0) @binding(1) var<storage, read> b: array<vec2u>;

fn right(r: u32, c: u32) -> vec4f {
  let pair = b[(r * right_width() + c) / 4u];
  return vec4f(widen(pair.x), widen(pair.y));
}
