// right_nf4_any: four neighbours of the right operand as it is stored, 4 bits[RIGHT_HEIGHT, RIGHT_WIDTH]
//   any size; zero outside

fn right(r: u32, c: u32) -> vec4f {
  var codes = vec4u();
  var scales = vec4f();
  if (r < right_height()) {
    for (var i = 0u; i < min(4u, max(c, right_width()) - c); i++) {
      let at = r * right_width() + c + i;
      codes[i] = nf4_word(at / 8u) >> ((at % 8u * 4u) ^ 4u);
      scales[i] = nf4_scale(r, c + i);
    }
  }
  return nf4_values(codes) * scales;
}
