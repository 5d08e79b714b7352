// bco_pair: l = -log σ(βc) - log σ(-βr) (Jung et al. 2024, without the shift)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let c = beta * p.c.x;
  let r = beta * p.r.x;
  return vec3f(-log_sigmoid(c) - log_sigmoid(-r), -beta * sigmoid(-c), beta * sigmoid(r));
}
