// subtract: y[i] = a[i] - b[i]
//   a  f32[N]   read
//   b  f32[N]   read
//   y  f32[N]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> a: array<Vec>;
@group(0) @binding(1) var<storage, read> b: array<Vec>;
@group(0) @binding(2) var<storage, read_write> y: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < arrayLength(&y)) { y[i] = a[i] - b[i]; }
}
