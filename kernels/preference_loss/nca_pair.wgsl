// nca_pair: l = -log σ(βc) - ½ log σ(-βc) - ½ log σ(-βr) (Chen et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let c = beta * p.c.x;
  let r = beta * p.r.x;
  let l = -log_sigmoid(c) - 0.5f * log_sigmoid(-c) - 0.5f * log_sigmoid(-r);
  return vec3f(l, beta * (0.5f * sigmoid(c) - sigmoid(-c)), 0.5f * beta * sigmoid(r));
}
