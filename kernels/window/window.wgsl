// window: cut[i] = the last LAST of [lo, hi) = spans[i], or its first FIRST; one of the two is 0
//   spans  u32[N, 2]   read
//   cut    u32[N, 2]   write
//   sizes  u32[2]      read    (LAST, FIRST)
//   launch one span a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> spans: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> cut: array<vec2u>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&spans)) { return; }
  let lo = spans[i].x;
  let hi = spans[i].y;
  if (sizes[0] > 0u) {
    cut[i] = vec2u(max(lo, hi - min(hi, sizes[0])), hi);
  } else {
    cut[i] = vec2u(lo, select(hi, lo + sizes[1], hi > lo && hi - lo > sizes[1]));
  }
}
