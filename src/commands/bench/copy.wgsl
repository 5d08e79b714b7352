// copy: y[i] = x[i]
//   x        f32[N]  read        N a multiple of 4
//   y        f32[N]  write
//   launch one vec4f a lane, 64 lanes a workgroup

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i < arrayLength(&y)) { y[i] = x[i]; }
}
