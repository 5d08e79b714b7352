// element i of the table: bf16 elements, two a word, the lower half first: the upper 16 bits of an f32

fn element(i: u32) -> f32 {
  return bitcast<f32>((table[i / 2u] >> (16u * (i % 2u))) << 16u);
}
