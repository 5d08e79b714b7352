// half: f32 as f16 and back, two numbers to a word, without the shader-f16 feature
//   Rounds to nearest, ties to even: pack2x16float may also round toward zero, and on some adapters does.
//   A finite number beyond ±65504 becomes ±65504; an infinity or a NaN becomes a NaN, so that it is found.

fn half_pair(v: vec2f) -> u32 {
  let bits = bitcast<vec2u>(v);
  let nearest = bitcast<vec2f>((bits + 0xfffu + ((bits >> vec2u(13u)) & vec2u(1u))) & vec2u(0xffffe000u));
  let lost = (bits & vec2u(0x7f800000u)) == vec2u(0x7f800000u);
  let nan = select(vec2u(), vec2u(0x7e00u, 0x7e000000u), lost);
  return pack2x16float(clamp(nearest, vec2f(-65504.0), vec2f(65504.0))) | nan.x | nan.y;
}

fn to_half(v: vec4f) -> vec2u { return vec2u(half_pair(v.xy), half_pair(v.zw)); }

fn from_half(h: vec2u) -> vec4f { return vec4f(unpack2x16float(h.x), unpack2x16float(h.y)); }
