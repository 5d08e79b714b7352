// right_half_any: four neighbours of the right operand as it is stored, 16-bit[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   two numbers a word; any size; zero outside

@group(0) @binding(1) var<storage, read> b: array<u32>;

fn right(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < right_height()) {
    for (var i = 0u; i < min(4u, max(c, right_width()) - c); i++) {
      let at = r * right_width() + c + i;
      v[i] = widen(b[at / 2u])[at % 2u];
    }
  }
  return v;
}
