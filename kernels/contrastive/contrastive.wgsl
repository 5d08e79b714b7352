// contrastive: loss = sum over n of weight[n] / 2 *
//   (same[n] * d[n]² + (1 - same[n]) * max(0, MARGIN - d[n])²)
//   d       f32[N]   read
//   same    f32[N]   read    1 for a pair that belongs together, 0 for one that does not
//   weight  f32[N]   read
//   loss    f32[1]   write
//   launch one workgroup of LANES lanes; f32, each lane adds every LANES-th term in order

override MARGIN: f32;

@group(0) @binding(0) var<storage, read> d: array<f32>;
@group(0) @binding(1) var<storage, read> same: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0f;
  for (var n = lane; n < arrayLength(&d); n += LANES) {
    let short = MARGIN - d[n];
    let near = select(short, 0f, short < 0f); // max would swallow a NaN
    sum += 0.5 * weight[n] * (same[n] * d[n] * d[n] + (1f - same[n]) * near * near);
  }
  let all = workgroup_sum(sum, lane);
  if (lane == 0u) { loss[0] = all; }
}
