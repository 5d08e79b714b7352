// two_floats: sums of f32 without their rounding: the pair (x, y) stands for x + y, y below half of x's last place
//   A difference of log-probabilities of 20 is off by 1e-6 in f32, and by 1e-13 here (Dekker 1971, Knuth 1969).

/// x itself; compilers that may reorder sums cannot see that.
fn kept(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ numbers.zero); }

fn exact_sum(a: f32, b: f32) -> vec2f {
  let s = kept(a + b);
  let other = kept(s - a);
  return vec2f(s, kept(a - kept(s - other)) + kept(b - other));
}

fn plus(a: vec2f, b: vec2f) -> vec2f {
  let s = exact_sum(a.x, b.x);
  let low = s.y + (a.y + b.y);
  let high = kept(s.x + low);
  return vec2f(high, low - kept(high - s.x));
}

fn minus(a: vec2f, b: vec2f) -> vec2f { return plus(a, -b); }

/// x as two numbers of 12 digits each, so that their products are exact.
fn halves(x: f32) -> vec2f {
  let c = kept(4097f * x);
  let high = kept(c - kept(c - x));
  return vec2f(high, x - high);
}

/// a / n
fn over(a: vec2f, n: f32) -> vec2f {
  let q = kept(a.x / n);
  let product = kept(q * n);
  let x = halves(q);
  let y = halves(n);
  let rest = (kept(x.x * y.x - product) + (x.x * y.y + x.y * y.x)) + x.y * y.y;
  return plus(vec2f(q, 0f), vec2f((kept(a.x - product) - rest + a.y) / n, 0f));
}
