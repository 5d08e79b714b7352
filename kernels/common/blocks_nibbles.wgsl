// blocks_nibbles: the plane of codes of 4 bits, eight to a word

fn row_nibbles(r: u32, c: u32) -> vec4u {
  let word = b[r / 4u * (right_width() / 8u) + c / 8u][r % 4u] >> (c % 8u * 4u);
  return (vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u);
}

fn nibble_words(g: u32, c: u32) -> vec4u {
  return b[g * (right_width() / 8u) + c / 8u] >> vec4u(c % 8u * 4u);
}
