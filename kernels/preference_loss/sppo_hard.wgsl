// sppo_hard: l = (c - 1 / 2β)² + (r + 1 / 2β)² (Wu et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let c = p.c - 0.5f / beta;
  let r = p.r + 0.5f / beta;
  return vec3f(c * c + r * r, 2f * c, 2f * r);
}
