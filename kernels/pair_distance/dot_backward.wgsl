// pair_distance_backward, by products: dx[n, c] = -dd[n] * y[n, c], dy[n, c] = -dd[n] * x[n, c]
//   dd  f32[N]      read
//   x   Vec[N, C]   read
//   y   Vec[N, C]   read
//   dx  Vec[N, C]   write
//   dy  Vec[N, C]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> dd: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> y: array<Vec>;
@group(0) @binding(3) var<storage, read_write> dx: array<Vec>;
@group(0) @binding(4) var<storage, read_write> dy: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&dx)) { return; }
  let f = -dd[i / (arrayLength(&dx) / arrayLength(&dd))];
  dx[i] = f * y[i];
  dy[i] = f * x[i];
}
