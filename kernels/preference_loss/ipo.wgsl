// ipo: l = (c / |chosen| - r / |rejected| - 1 / 2β)² (Azar et al. 2023, by the token as TRL has it)
//   loss_of: (l, dl/dc, dl/dr) of one pair, with z = β(c - r), s = numbers.smoothing

fn loss_of(p: Pair) -> vec3f {
  let h = minus(minus(over(p.c, p.chosen), over(p.r, p.rejected)), half()).x;
  return vec3f(h * h, 2f * h / p.chosen, -2f * h / p.rejected);
}
