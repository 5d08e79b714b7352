// blocks_q8: codes of 8 bits with a sign

fn row_codes(r: u32, c: u32) -> vec4f {
  let word = b[r / 4u * (right_width() / 4u) + c / 4u][r % 4u];
  return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}

fn codes(g: u32, c: u32) -> mat4x4f {
  let words = bitcast<vec4i>(b[g * (right_width() / 4u) + c / 4u]);
  return mat4x4f(
    vec4f((words << vec4u(24u)) >> vec4u(24u)),
    vec4f((words << vec4u(16u)) >> vec4u(24u)),
    vec4f((words << vec4u(8u)) >> vec4u(24u)),
    vec4f(words >> vec4u(24u)),
  );
}

fn scales_first() -> u32 { return groups() * (right_width() / 4u); }
