// layernorm_dwb: with x̂ = (x - mean) * rstd, over the ROWS rows t of block k
//   dw[k, c] = sum of dy[t, c] * x̂[t, c],   db[k, c] = sum of dy[t, c]
//   dy     f32[T, C]        read
//   x      f32[T, C]        read
//   stats  f32[T, 2]        read    (mean, rstd)
//   dw     f32[BLOCKS, C]   write   their column sums are the gradients of w and b
//   db     f32[BLOCKS, C]   write
//   launch one Vec of one block a lane, 64 lanes a workgroup, grid in x and y; sums in f32, in order of t

override T: u32;
override C: u32;
override ROWS: u32;

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> stats: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> dw: array<Vec>;
@group(0) @binding(4) var<storage, read_write> db: array<Vec>;

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
  var along = Vec();
  var plain = Vec();
  for (var t = first; t < min(first + ROWS, T); t++) {
    let d = dy[t * W + i % W];
    along += d * ((x[t * W + i % W] - stats[t].x) * stats[t].y);
    plain += d;
  }
  dw[i] = along;
  db[i] = plain;
}
