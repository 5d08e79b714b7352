// blocks_scale_half: one f16 scale for 32 columns; codes count from ZERO

const SHARED = 32u; // columns with one scale

fn scales(g: u32, c: u32) -> Scales {
  let word = b[scales_first() + g * ((right_width() + 63u) / 64u) + c / 64u];
  let unit = half_values((word >> vec4u(c / 32u % 2u * 16u)) & vec4u(0xffffu));
  return Scales(unit, unit * ZERO);
}
