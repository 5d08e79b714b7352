// simpo: l = -(1 - s) log σ(z - γ) - s log σ(γ - z), s = numbers.smoothing, γ = numbers.gamma (Meng et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, c and r by the token

fn loss_of(p: Pair) -> vec3f {
  let s = numbers.smoothing;
  let z = margin(p) - numbers.gamma;
  let d = numbers.beta * (s * sigmoid(z) - (1f - s) * sigmoid(-z));
  return vec3f((1f - s) * softplus(-z) + s * softplus(z), d, -d);
}
