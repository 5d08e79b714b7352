// weighted_sum: loss[0] = sum over s of weights[s] * nll[s]
//   weights  f32[S]   read
//   nll      f32[S]   read
//   loss     f32[1]   write
//   launch one workgroup of LANES lanes; lane i adds s = i, i + LANES, … in order, then a tree

@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read> nll: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var part = 0.0;
  for (var s = lane; s < arrayLength(&nll); s += LANES) { part += weights[s] * nll[s]; }
  let sum = workgroup_sum(part, lane);
  if (lane == 0u) { loss[0] = sum; }
}
