// sppo_hard: l = (c - 1 / 2β)² + (r + 1 / 2β)² (Wu et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let c = minus(p.c, half()).x;
  let r = plus(p.r, half()).x;
  return vec3f(c * c + r * r, 2f * c, 2f * r);
}
