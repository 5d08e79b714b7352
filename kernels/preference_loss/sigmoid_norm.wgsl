// sigmoid_norm: l = -log σ(β(c / |chosen| - r / |rejected|)), as TRL has it
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let z = beta * (p.c / p.chosen - p.r / p.rejected);
  let d = -beta * sigmoid(-z);
  return vec3f(-log_sigmoid(z), d / p.chosen, -d / p.rejected);
}
