// blocks_scale_min: for 256 columns d and dmin, f16, and for each 32 of them a scale and a minimum of 6
// bits; value = d · scale · code - dmin · minimum

const SHARED = 32u; // columns with one scale

fn scales(g: u32, c: u32) -> Scales {
  let first = scales_first() + g * (right_width() / 64u) + c / 256u * 4u;
  let units = b[first];
  let shift = vec4u(c / 32u % 4u * 8u);
  let low = b[first + 1u] >> shift;
  let middle = b[first + 2u] >> shift;
  var scale = low & vec4u(63u);
  var least = middle & vec4u(63u);
  if (c % 256u >= 128u) {
    let high = b[first + 3u] >> shift;
    scale = (high & vec4u(15u)) | ((low >> vec4u(2u)) & vec4u(48u));
    least = ((high >> vec4u(4u)) & vec4u(15u)) | ((middle >> vec4u(2u)) & vec4u(48u));
  }
  return Scales(
    half_values(units & vec4u(0xffffu)) * vec4f(scale),
    half_values(units >> vec4u(16u)) * vec4f(least),
  );
}
