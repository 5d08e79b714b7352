// sigmoid_norm: l = -log σ(β(c / |chosen| - r / |rejected|)), as TRL has it
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let z = numbers.beta * minus(over(p.c, p.chosen), over(p.r, p.rejected)).x;
  let d = -numbers.beta * sigmoid(-z);
  return vec3f(softplus(-z), d / p.chosen, -d / p.rejected);
}
