// append: y[at + i] = x[i]
//   x     f32[N]      read
//   at    u32[1]      read
//   y     f32[...]    write
//   launch one lane a number, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> at: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < arrayLength(&x)) { y[at[0] + i] = x[i]; }
}
