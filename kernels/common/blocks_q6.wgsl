// blocks_q6: codes of 6 bits, the highest two in a plane of their own

fn high_at(g: u32, c: u32) -> u32 {
  return groups() * (right_width() / 8u) + g * (right_width() / 16u) + c / 16u;
}

fn row_codes(r: u32, c: u32) -> vec4f {
  let highs = vec4u(b[high_at(r / 4u, c)][r % 4u] >> (c % 16u * 2u)) >> vec4u(0u, 2u, 4u, 6u);
  return vec4f(row_nibbles(r, c) | ((highs & vec4u(3u)) << vec4u(4u)));
}

fn codes(g: u32, c: u32) -> mat4x4f {
  let words = nibble_words(g, c);
  let highs = b[high_at(g, c)] >> vec4u(c % 16u * 2u);
  return mat4x4f(
    vec4f((words & vec4u(15u)) | ((highs << vec4u(4u)) & vec4u(48u))),
    vec4f(((words >> vec4u(4u)) & vec4u(15u)) | ((highs << vec4u(2u)) & vec4u(48u))),
    vec4f(((words >> vec4u(8u)) & vec4u(15u)) | (highs & vec4u(48u))),
    vec4f(((words >> vec4u(12u)) & vec4u(15u)) | ((highs >> vec4u(2u)) & vec4u(48u))),
  );
}

fn scales_first() -> u32 { return groups() * (right_width() / 8u + right_width() / 16u); }
