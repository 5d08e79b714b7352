// exo_pair: l = σ(z)(log σ(z) - log(1 - s)) + σ(-z)(log σ(-z) - log s) (Ji et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let s = numbers.smoothing;
  let z = beta * (p.c - p.r);
  let a = log_sigmoid(z) - log(1f - s);
  let b = log_sigmoid(-z) - log(s);
  let d = beta * sigmoid(z) * sigmoid(-z) * (a - b);
  return vec3f(sigmoid(z) * a + sigmoid(-z) * b, d, -d);
}
