// orpo: l = -β log σ(o), o = log odds(c) - log odds(r), odds(x) = exp(x) / (1 - exp(x)) (Hong et al. 2024)
//   loss_of: (l, dl/dc, dl/dr) of one pair, c and r by the token; noted: log σ(o) and o
//   Odds of a certain answer are those of one that is as near to it as f32 can tell.

fn loss_of(p: Pair) -> vec3f {
  let c = min(p.c.x, -0x1p-24f);
  let r = min(p.r.x, -0x1p-24f);
  let o = minus(p.c, p.r).x - (log_complement(c) - log_complement(r));
  noted = vec2f(-softplus(-o), o);
  let d = -numbers.beta * sigmoid(-o);
  return vec3f(numbers.beta * softplus(-o), d / complement(c), -d / complement(r));
}
