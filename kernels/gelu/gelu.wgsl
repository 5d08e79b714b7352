// gelu: y[i] = x[i] * P(x[i]),   P(x) = (1 + erf(x / sqrt(2))) / 2, the normal distribution function
//   x  Stored[N]   read
//   y  Stored[N]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&x)) { return; }
  let a = widened(x[i]);
  // Beyond 13 the tail is 0 in f32; a NaN that min hides comes back through the factor a.
  let tail = normal_tail(min(abs(a), Vec(13.0)));
  y[i] = narrowed(a * select(tail, 1.0 - tail, a > Vec(0.0)));
}
