// right_nf4_tiled: four neighbours of the right operand as it is stored, 4 bits[RIGHT_HEIGHT, RIGHT_WIDTH]
//   c is a multiple of 4; the caller stays inside

fn right(r: u32, c: u32) -> vec4f {
  let word = nf4_codes(r, c)[r % 4u] >> (c % 8u * 4u);
  return nf4_values(vec4u(word) >> vec4u(4u, 0u, 12u, 8u)) * nf4_scale(r, c);
}
