// sigmoid: l = -(1 - s) log σ(z) - s log σ(-z) (Rafailov et al. 2023; conservative for s > 0, Mitchell 2023)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let s = numbers.smoothing;
  let z = margin(p);
  let d = numbers.beta * (s * sigmoid(z) - (1f - s) * sigmoid(-z));
  return vec3f((1f - s) * softplus(-z) + s * softplus(z), d, -d);
}
