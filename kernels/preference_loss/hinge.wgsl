// hinge: l = max(0, 1 - z) (SLiC, Zhao et al. 2023)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let z = margin(p);
  let d = select(0f, -numbers.beta, z < 1f);
  return vec3f(max(0f, 1f - z), d, -d);
}
