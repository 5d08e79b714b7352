// gelu_backward: dx[i] = dy[i] * (P(x[i]) + x[i] * p(x[i])),   P the normal distribution function,
//   p(x) = exp(-x² / 2) / sqrt(2 π) its density
//   dy  f32[N]      read
//   x   Stored[N]   read
//   dx  f32[N]      write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> dx: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&x)) { return; }
  let a = widened(x[i]);
  // Beyond 13 tail and density are 0 in f32; a NaN that min hides comes back through the factor a.
  let c = min(abs(a), Vec(13.0));
  let tail = normal_tail(c);
  let density = 0.3989422804014327 * exp(-0.5 * c * c);
  dx[i] = dy[i] * (select(tail, 1.0 - tail, a > Vec(0.0)) + a * density);
}
