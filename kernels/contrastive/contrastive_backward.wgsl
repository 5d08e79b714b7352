// contrastive_backward: dd[n] = dloss * weight[n] *
//   (same[n] * d[n] - (1 - same[n]) * max(0, MARGIN - d[n]))
//   dloss   f32[1]   read
//   d       f32[N]   read
//   same    f32[N]   read
//   weight  f32[N]   read
//   dd      f32[N]   write
//   launch one element a lane, 64 lanes a workgroup, grid in x and y

override MARGIN: f32;

@group(0) @binding(0) var<storage, read> dloss: array<f32>;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> same: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dd: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.y * groups.x + group.x) * 64u + lane;
  if (n >= arrayLength(&d)) { return; }
  let short = MARGIN - d[n];
  let near = select(short, 0f, short < 0f);
  dd[n] = dloss[0] * weight[n] * (same[n] * d[n] - (1f - same[n]) * near);
}
