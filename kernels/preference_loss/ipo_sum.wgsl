// ipo_sum: l = (c - r - 1 / 2β)² (Azar et al. 2023)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let beta = numbers.beta;
  let h = p.c - p.r - 0.5f / beta;
  return vec3f(h * h, 2f * h, -2f * h);
}
