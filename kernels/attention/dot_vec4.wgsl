// the sum of products of two Vecs, where Vec is vec4f

fn product(a: Vec, b: Vec) -> f32 {
  return dot(a, b);
}
