// segment_spread: x[s] = y[owner[s]], 0 where owner[s] >= N: the derivative of segment_sum
//   y      f32[N, 1]   read
//   owner  u32[S]      read    the segment that s is in
//   x      f32[S]      write
//   launch one lane a number, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> owner: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let s = (group.y * groups.x + group.x) * 64u + lane;
  if (s >= arrayLength(&x)) { return; }
  let n = owner[s];
  if (n < arrayLength(&y)) { x[s] = y[n]; } else { x[s] = 0f; }
}
