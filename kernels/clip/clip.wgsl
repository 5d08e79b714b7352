// clip: out = (scale, norm, finite, 0),   norm = sqrt(sum),   scale = min(1, maxNorm / (norm + 1e-6))
//   sum    f32[1]   read    sum of squares of all gradients
//   hyper  f32[8]   read    maxNorm is element 6; 0 never clips
//   out    f32[4]   write   finite is 1 or 0; scale is 0 where it is 0
//   launch one lane

@group(0) @binding(0) var<storage, read> sum: array<f32>;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: vec4f;

@compute @workgroup_size(1)
fn main() {
  let s = sum[0];
  // By bits: compilers take n != n for false, and min hides a NaN.
  if ((bitcast<u32>(s) & 0x7f800000u) == 0x7f800000u) {
    out = vec4f(0.0, s, 0.0, 0.0);
    return;
  }
  let norm = sqrt(s);
  var scale = 1.0;
  if (hyper[6] > 0.0) { scale = min(1.0, hyper[6] / (norm + 1e-6)); }
  out = vec4f(scale, norm, 1.0, 0.0);
}
