// blocks_scale_sixteen: for 256 columns d, f16, and for each 16 of them a scale of 8 bits with a sign;
// value = d · scale · (code - 32)

const SHARED = 16u; // columns with one scale

fn scales(g: u32, c: u32) -> Scales {
  let first = scales_first();
  let across = right_width() / 64u;
  let word = bitcast<vec4i>(b[first + g * across + c / 64u]);
  let scale = (word << vec4u(24u - c / 16u % 4u * 8u)) >> vec4u(24u);
  let units = b[first + groups() * across + g * ((right_width() + 511u) / 512u) + c / 512u];
  let unit = half_values((units >> vec4u(c / 256u % 2u * 16u)) & vec4u(0xffffu)) * vec4f(scale);
  return Scales(unit, unit * 32.0);
}
