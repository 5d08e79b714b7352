// apo_down: l = σ(βc) + 1 - σ(z) (D’Oosterlinck et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let c = numbers.beta * p.c.x;
  let z = margin(p);
  let d = numbers.beta * sigmoid(z) * sigmoid(-z);
  return vec3f(sigmoid(c) + sigmoid(-z), numbers.beta * sigmoid(c) * sigmoid(-c) - d, d);
}
