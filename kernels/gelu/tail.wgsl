// normal_tail(a): the probability that a standard normal variable exceeds a, for 0 <= a <= 13
//   exp(-a² / 2) * t * p(t),   t = 1 / (1 + 0.4 * a / sqrt(2)); p is a Chebyshev fit of degree 8, off by
//   1.3e-7 relative at most: small probabilities keep their digits

fn normal_tail(a: Vec) -> Vec {
  let t = 1.0 / (1.0 + 0.28284271247461906 * a);
  var p = 0.025095382762692898 * t - 0.09131433721056896;
  p = p * t + 0.08433235200091621;
  p = p * t - 0.0026362658319000337;
  p = p * t + 0.07064262670312321;
  p = p * t + 0.08428806339585626;
  p = p * t + 0.10391942971264467;
  p = p * t + 0.11283487847197755;
  p = p * t + 0.11283793049692582;
  return exp(-0.5 * a * a) * t * p;
}
