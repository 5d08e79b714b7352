// blocks_q5: codes of 5 bits, the fifth in a plane of its own

fn fifth_at(g: u32, c: u32) -> u32 {
  return groups() * (right_width() / 8u) + g * (right_width() / 32u) + c / 32u;
}

fn row_codes(r: u32, c: u32) -> vec4f {
  let fifths = vec4u(b[fifth_at(r / 4u, c)][r % 4u] >> (c % 32u)) >> vec4u(0u, 1u, 2u, 3u);
  return vec4f(row_nibbles(r, c) | ((fifths & vec4u(1u)) << vec4u(4u)));
}

fn codes(g: u32, c: u32) -> mat4x4f {
  let words = nibble_words(g, c);
  let fifths = b[fifth_at(g, c)] >> vec4u(c % 32u);
  return mat4x4f(
    vec4f((words & vec4u(15u)) | ((fifths << vec4u(4u)) & vec4u(16u))),
    vec4f(((words >> vec4u(4u)) & vec4u(15u)) | ((fifths << vec4u(3u)) & vec4u(16u))),
    vec4f(((words >> vec4u(8u)) & vec4u(15u)) | ((fifths << vec4u(2u)) & vec4u(16u))),
    vec4f(((words >> vec4u(12u)) & vec4u(15u)) | ((fifths << vec4u(1u)) & vec4u(16u))),
  );
}

fn scales_first() -> u32 { return groups() * (right_width() / 8u + right_width() / 32u); }
