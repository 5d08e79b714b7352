// nf4_scale_double: the scale of one number, map[code] · scale of 256 scales + offset, each step rounded
//   after the codes: the map of 256, the offset, three words of zeros, the scales of scales, the 8-bit codes

fn nf4_scale(r: u32, c: u32) -> f32 {
  let n = right_height() * right_width();
  let map = (n + 7u) / 8u;
  let outer = map + 260u;
  let block = nf4_block(r, c);
  let place = nf4_place(r, c);
  let codes = nf4_word(outer + (n + 16383u) / 16384u + place / 4u);
  let code = (codes >> (place % 4u * 8u)) & 255u;
  let scaled = bitcast<f32>(nf4_word(map + code)) * bitcast<f32>(nf4_word(outer + block / 256u));
  // A compiler that does not know the zeros cannot round product and sum together.
  return bitcast<f32>(bitcast<u32>(scaled) | nf4_word(map + 257u)) + bitcast<f32>(nf4_word(map + 256u));
}
