// element i of the table: f16 elements, two a word, the lower half first

fn element(i: u32) -> f32 {
  return unpack2x16float(table[i / 2u])[i % 2u];
}
