// apo_zero: l = 1 - σ(βc) + σ(βr) (D’Oosterlinck et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let c = beta * p.c.x;
  let r = beta * p.r.x;
  return vec3f(
    sigmoid(-c) + sigmoid(r),
    -beta * sigmoid(c) * sigmoid(-c),
    beta * sigmoid(r) * sigmoid(-r),
  );
}
