// segment_sum: y[n] = sum over s in [bounds[n].x, bounds[n].y) of x[s]
//   x       f32[S]       read
//   bounds  u32[N, 2]    read    where each segment begins and ends
//   y       f32[N, 1]    write   0 for an empty segment
//   launch one workgroup of LANES lanes a segment, grid in x and y; lane i adds s = i, i + LANES, …
//   of its segment in order, then a tree; f32

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.y * groups.x + group.x;
  if (n >= arrayLength(&y)) { return; }
  var part = 0f;
  for (var s = bounds[n].x + lane; s < bounds[n].y; s += LANES) { part += x[s]; }
  let sum = workgroup_sum(part, lane);
  if (lane == 0u) { y[n] = sum; }
}
