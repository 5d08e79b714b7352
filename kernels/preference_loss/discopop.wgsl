// discopop: l = -log σ(z)(1 - m) + exp(-z) m, m = σ(z / 0.05) (Lu et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let z = margin(p);
  let m = sigmoid(z * 20f);
  let dm = m * sigmoid(-z * 20f) * 20f;
  // m falls faster than exp(-z) grows: their product is small where either is out of range.
  let e = exp(min(-z, 0f) + select(0f, -z + log_sigmoid(z * 20f), z < 0f)) * select(1f, m, z >= 0f);
  let de = e * sigmoid(-z * 20f) * 20f;
  let d = beta * (-sigmoid(-z) * (1f - m) + log_sigmoid(z) * dm - e + de);
  return vec3f(-log_sigmoid(z) * (1f - m) + e, d, -d);
}
