// left_half_any: four neighbours of the left operand as it is stored, f16[LEFT_HEIGHT, LEFT_WIDTH], rows LEFT_STRIDE apart
//   a  u32   read   two numbers a word; any size; zero outside

@group(0) @binding(0) var<storage, read> a: array<u32>;

fn left(r: u32, c: u32) -> vec4f {
  var v = vec4f();
  if (r < left_height()) {
    for (var i = 0u; i < min(4u, max(c, left_width()) - c); i++) {
      let at = r * left_stride() + c + i;
      v[i] = unpack2x16float(a[at / 2u])[at % 2u];
    }
  }
  return v;
}
