// softcap: y[i] = CAP * tanh(x[i] / CAP)
//   x  f32[N]   read
//   y  f32[N]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read_write> y: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&x)) { return; }
  y[i] = capped(x[i]);
}
