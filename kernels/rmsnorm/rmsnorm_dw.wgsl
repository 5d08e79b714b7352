// rmsnorm_dw: part[b, c] = sum over the ROWS rows t of block b of dy[t, c] * x[t, c] * rstd[t]
//   dy    f32[T, C]        read
//   x     f32[T, C]        read
//   rstd  f32[T]           read
//   part  f32[BLOCKS, C]   write   their column sum is dw
//   launch one Vec of one block a lane, 64 lanes a workgroup, grid in x and y; sums in f32, in order of t

override T: u32;
override C: u32;
override ROWS: u32;

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  const W = C / WIDTH;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let first = (i / W) * ROWS;
  if (first >= T) { return; }
  var sum = Vec();
  for (var t = first; t < min(first + ROWS, T); t++) {
    sum += dy[t * W + i % W] * (x[t * W + i % W] * rstd[t]);
  }
  part[i] = sum;
}
