// element i of the table: f32 elements, one a word

fn element(i: u32) -> f32 {
  return bitcast<f32>(table[i]);
}
