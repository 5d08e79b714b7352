// exo_pair: l = σ(z)(log σ(z) - log(1 - s)) + σ(-z)(log σ(-z) - log s) (Ji et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let z = margin(p);
  let a = log_sigmoid(z) - numbers.log_right;
  let b = log_sigmoid(-z) - numbers.log_wrong;
  let d = numbers.beta * sigmoid(z) * sigmoid(-z) * (a - b);
  return vec3f(sigmoid(z) * a + sigmoid(-z) * b, d, -d);
}
