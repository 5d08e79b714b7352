// nf4_scales: the scales of a tile's 4 rows, f32

fn nf4_scales(r: u32, c: u32) -> vec4f {
  return bitcast<vec4f>(b[right_height() * right_width() / 32u + nf4_place(r, c) / 4u]);
}
