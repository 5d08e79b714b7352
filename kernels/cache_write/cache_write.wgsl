// cache_write: cache[rows[t], c] = x[t, c] where rows[t] < S
//   x      u32[T, C]   read
//   rows   u32[T]      read         place of each token in the cache
//   cache  u32[S, C]   read_write   only the named rows are written
//   launch one lane a word of x (N = T·C), 64 lanes a workgroup, grid in x and y; bits are copied

override N: u32;
override C: u32;
override S: u32;

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> cache: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= N) { return; }
  let row = rows[i / C];
  if (row < S) { cache[row * C + i % C] = x[i]; }
}
