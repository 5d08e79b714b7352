// pool_backward: dx[t, c] = factor[s] * dy[s, c] with s = owner[t] where that is below S, else 0
//   dy      Vec[S, C]   read
//   owner   u32[T]      read
//   factor  f32[S]      read
//   dx      Vec[T, C]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> owner: array<u32>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&dx)) { return; }
  let C = arrayLength(&dx) / arrayLength(&owner);
  let s = owner[i / C];
  var v = Vec();
  if (s < arrayLength(&factor)) { v = factor[s] * dy[s * C + i % C]; }
  dx[i] = v;
}
