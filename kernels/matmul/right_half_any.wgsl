// right_half_any: four neighbours of the right operand as it is stored, 16-bit[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   two numbers a word; any size; zero outside

@group(0) @binding(1) var<storage, read> b: array<u32>;

fn right(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < RIGHT_HEIGHT) {
    for (var i = 0u; i < min(4u, max(c, RIGHT_WIDTH) - c); i++) {
      let at = r * RIGHT_WIDTH + c + i;
      v[i] = widen(b[at / 2u])[at % 2u];
    }
  }
  return v;
}
