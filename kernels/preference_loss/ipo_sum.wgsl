// ipo_sum: l = (c - r - 1 / 2β)² (Azar et al. 2023)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let h = minus(minus(p.c, p.r), half()).x;
  return vec3f(h * h, 2f * h, -2f * h);
}
