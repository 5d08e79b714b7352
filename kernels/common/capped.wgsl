// capped: CAP · tanh(s / CAP), a bounded score (Bello et al. 2016), and its slope, for one or four Scores

override CAP: f32;
const CAPPED = true;

fn capped(s: Scores) -> Scores {
  let x = s / CAP;
  // Near 0 a series: 1 - 2 / (exp(2x) + 1) would lose digits there. Its bound keeps exp finite.
  let y = x * x;
  let near = x * (1.0 + y * (-1.0 / 3.0 + y * (2.0 / 15.0 + y * (-17.0 / 315.0 +
    y * (62.0 / 2835.0 - y * (1382.0 / 155925.0))))));
  let far = sign(x) * (1.0 - 2.0 / (exp(min(2.0 * abs(x), Scores(40.0))) + 1.0));
  return CAP * select(far, near, abs(x) < Scores(0.4));
}

/// The derivative of capped at s, from c = capped(s).
fn slope(c: Scores) -> Scores {
  let t = c / CAP;
  return (1.0 - t) * (1.0 + t);
}
