// smooth: the functions that losses are made of, to some units in the last place of f32 everywhere

/// log(1 + e) for e in [-1/2, 1]: 2 artanh(e / (2 + e))
fn log1p(e: f32) -> f32 {
  let s = e / (2f + e);
  let q = s * s;
  let tail = q * (1f / 9f + q * (1f / 11f + q * (1f / 13f + q / 15f)));
  return 2f * s * (1f + q * (1f / 3f + q * (1f / 5f + q * (1f / 7f + tail))));
}

/// log(1 + exp(x)) for any x
fn softplus(x: f32) -> f32 { return max(x, 0f) + log1p(exp(-abs(x))); }
fn log_sigmoid(x: f32) -> f32 { return -softplus(-x); }
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1f, x >= 0f) / (1f + e);
}

/// 1 - exp(x) for x <= 0
fn complement(x: f32) -> f32 {
  let a = x * (1f / 6f + x * (1f / 24f + x * (1f / 120f + x * (1f / 720f + x * (1f / 5040f
    + x * (1f / 40320f + x * (1f / 362880f + x / 3628800f)))))));
  return select(1f - exp(x), -x * (1f + x * (0.5f + a)), x > -0.6931472f);
}

/// log(1 - exp(x)) for x < 0
fn log_complement(x: f32) -> f32 {
  return select(log1p(-exp(min(x, -0.6931472f))), log(complement(x)), x > -0.6931472f);
}
