// add: y[i] = a[i] + b[i]
//   a, b   f32[N]   read
//   y      f32[N]   write
//   launch one lane an element, 64 lanes a workgroup, grid in x and y

override N: u32;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < N) { y[i] = a[i] + b[i]; }
}
