// half_bits: f16 from its bits, in the low halves of words; exact for small ones too, which
// unpack2x16float may take for 0, and scales are often that small

fn half_values(words: vec4u) -> vec4f {
  let magnitude = words & vec4u(0x7fffu);
  let usual = bitcast<vec4f>((magnitude << vec4u(13u)) + vec4u(0x38000000u));
  let small = vec4f(magnitude) * 5.960464477539063e-8;
  let value = select(usual, small, magnitude < vec4u(0x400u));
  return select(value, -value, (words & vec4u(0x8000u)) != vec4u());
}
