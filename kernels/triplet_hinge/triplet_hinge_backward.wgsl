// triplet_hinge_backward: d_near[n] = dloss * weight[n] where near[n] - far[n] + MARGIN > 0, else 0;
//   d_far = -d_near
//   dloss   f32[1]   read
//   near    f32[N]   read
//   far     f32[N]   read
//   weight  f32[N]   read
//   d_near  f32[N]   write
//   d_far   f32[N]   write
//   launch one element a lane, 64 lanes a workgroup, grid in x and y

override MARGIN: f32;

@group(0) @binding(0) var<storage, read> dloss: array<f32>;
@group(0) @binding(1) var<storage, read> near: array<f32>;
@group(0) @binding(2) var<storage, read> far: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_near: array<f32>;
@group(0) @binding(5) var<storage, read_write> d_far: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.y * groups.x + group.x) * 64u + lane;
  if (n >= arrayLength(&near)) { return; }
  let d = select(0f, dloss[0] * weight[n], near[n] - far[n] + MARGIN > 0f);
  d_near[n] = d;
  d_far[n] = -d;
}
