// triplet_hinge: loss = sum over n of weight[n] * max(0, near[n] - far[n] + MARGIN)
//   near    f32[N]   read
//   far     f32[N]   read
//   weight  f32[N]   read
//   loss    f32[1]   write
//   launch one workgroup of LANES lanes; f32, each lane adds every LANES-th term in order

override MARGIN: f32;

@group(0) @binding(0) var<storage, read> near: array<f32>;
@group(0) @binding(1) var<storage, read> far: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0f;
  for (var n = lane; n < arrayLength(&near); n += LANES) {
    let over = near[n] - far[n] + MARGIN;
    sum += weight[n] * select(over, 0f, over < 0f); // max would swallow a NaN
  }
  let all = workgroup_sum(sum, lane);
  if (lane == 0u) { loss[0] = all; }
}
