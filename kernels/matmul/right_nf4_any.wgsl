// right_nf4_any: four neighbours of the right operand as it is stored, nf4[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   codes in row-major order, then scales of 64 neighbours; any size; zero outside

@group(0) @binding(1) var<storage, read> b: array<u32>;

fn right(r: u32, c: u32) -> vec4f {
  var codes = vec4u();
  var scales = vec4f();
  if (r < right_height()) {
    let first_scale = (right_height() * right_width() + 7u) / 8u;
    for (var i = 0u; i < min(4u, max(c, right_width()) - c); i++) {
      let at = r * right_width() + c + i;
      codes[i] = b[at / 8u] >> ((at % 8u * 4u) ^ 4u);
      scales[i] = bitcast<f32>(b[first_scale + at / 64u]);
    }
  }
  return nf4_values(codes) * scales;
}
