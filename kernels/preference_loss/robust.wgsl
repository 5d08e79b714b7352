// robust: l = (-(1 - s) log σ(z) + s log σ(-z)) / (1 - 2s) (Ray Chowdhury et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let s = numbers.smoothing;
  let z = beta * (p.c - p.r);
  let d = -beta * ((1f - s) * sigmoid(-z) + s * sigmoid(z)) / (1f - 2f * s);
  return vec3f((s * log_sigmoid(-z) - (1f - s) * log_sigmoid(z)) / (1f - 2f * s), d, -d);
}
