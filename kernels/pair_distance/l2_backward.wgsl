// pair_distance_backward, Euclidean: dx[n, c] = dd[n] * (x[n, c] - y[n, c] + EPS) / d[n], dy = -dx
//   dd  f32[N]      read
//   d   f32[N]      read    the distances; where 0, so is the gradient
//   x   Vec[N, C]   read
//   y   Vec[N, C]   read
//   dx  Vec[N, C]   write
//   dy  Vec[N, C]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

override EPS: f32;

@group(0) @binding(0) var<storage, read> dd: array<f32>;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<Vec>;
@group(0) @binding(3) var<storage, read> y: array<Vec>;
@group(0) @binding(4) var<storage, read_write> dx: array<Vec>;
@group(0) @binding(5) var<storage, read_write> dy: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&dx)) { return; }
  let n = i / (arrayLength(&dx) / arrayLength(&d));
  let far = d[n] > 0f;
  let v = select(0f, dd[n] / select(1f, d[n], far), far) * ((x[i] - y[i]) + EPS);
  dx[i] = v;
  dy[i] = -v;
}
