// pool: y[s, c] = factor[s] * sum over t in [lo[s], hi[s]) of x[t, c]
//   x       Stored[T, C]   read
//   ranges  u32[S, 2]      read    (lo, hi); where lo >= hi, y = 0
//   factor  f32[S]         read
//   y       Vec[S, C]      write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y; rows are added in rising order, in f32

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> ranges: array<vec2u>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&y)) { return; }
  let C = arrayLength(&y) / arrayLength(&factor);
  let range = ranges[i / C];
  var sum = Vec();
  for (var t = range.x; t < range.y; t++) { sum += widened(x[t * C + i % C]); }
  y[i] = factor[i / C] * sum;
}
