// nf4_scales_double: the scales of a tile's 4 rows, each from its 8 bits

fn nf4_scales(r: u32, c: u32) -> vec4f {
  return vec4f(nf4_scale(r, c), nf4_scale(r + 1u, c), nf4_scale(r + 2u, c), nf4_scale(r + 3u, c));
}
