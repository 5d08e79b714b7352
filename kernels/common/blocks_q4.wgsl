// blocks_q4: codes of 4 bits, and nothing between them and the scales

fn row_codes(r: u32, c: u32) -> vec4f { return vec4f(row_nibbles(r, c)); }

fn codes(g: u32, c: u32) -> mat4x4f {
  let words = nibble_words(g, c);
  return mat4x4f(
    vec4f(words & vec4u(15u)),
    vec4f((words >> vec4u(4u)) & vec4u(15u)),
    vec4f((words >> vec4u(8u)) & vec4u(15u)),
    vec4f((words >> vec4u(12u)) & vec4u(15u)),
  );
}

fn scales_first() -> u32 { return groups() * (right_width() / 8u); }
