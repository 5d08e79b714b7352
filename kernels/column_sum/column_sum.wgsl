// column_sum: part[b, c] = sum over the ROWS rows t of block b of x[t, c], or with SQUARES of x[t, c]²
//   x     f32[T, C]        read
//   part  f32[BLOCKS, C]   write
//   launch one Vec of one block a lane, 64 lanes a workgroup, grid in x and y; sums in f32, in order of t

override T: u32;
override C: u32;
override ROWS: u32;
override SQUARES: u32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read_write> part: array<Vec>;

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
    let v = x[t * W + i % W];
    if (SQUARES == 1u) { sum += v * v; } else { sum += v; }
  }
  part[i] = sum;
}
