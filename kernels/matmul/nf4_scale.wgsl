// nf4_scale: the scale of one number, f32

fn nf4_scale(r: u32, c: u32) -> f32 {
  let first = (right_height() * right_width() + 7u) / 8u;
  return bitcast<f32>(nf4_word(first + nf4_place(r, c)));
}
