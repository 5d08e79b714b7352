// part_sum: sum[0] = sum over b of part[b]
//   part  f32[N]   read
//   sum   f32[1]   write
//   launch one workgroup of LANES lanes; sums in f32, in a fixed order

@group(0) @binding(0) var<storage, read> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var own = 0.0;
  for (var b = lane; b < arrayLength(&part); b += LANES) { own += part[b]; }
  let all = workgroup_sum(own, lane);
  if (lane == 0u) { sum[0] = all; }
}
