// robust: l = (-(1 - s) log σ(z) + s log σ(-z)) / (1 - 2s) (Ray Chowdhury et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let s = numbers.smoothing;
  let z = margin(p);
  // The same with both logarithms in one: nothing cancels where 1 - 2s is small.
  let d = -numbers.beta * (sigmoid(-z) + s / (1f - 2f * s));
  return vec3f(softplus(-z) - s * z / (1f - 2f * s), d, -d);
}
