// the product of two Vecs, where Vec is f32

fn product(a: Vec, b: Vec) -> f32 {
  return a * b;
}
