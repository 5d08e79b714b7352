// magnitude_gradient: part[b, c] = sum over the ROWS rows t of block b of dy[t, c] · x[t, c] / norm[c]
//   0 where norm[c] is 0
//   dy    f32[T, C]        read
//   x     f32[T, C]        read
//   norm  f32[C]           read
//   part  f32[BLOCKS, C]   write
//   launch one Vec of one block a lane, 64 lanes a workgroup, grid in x and y; sums in f32, in order of t

override T: u32;
override C: u32;
override ROWS: u32;

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> norm: array<Vec>;
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
  let c = i % W;
  var sum = Vec();
  for (var t = first; t < min(first + ROWS, T); t++) { sum += dy[t * W + c] * x[t * W + c]; }
  part[i] = select(sum / norm[c], Vec(), norm[c] == Vec());
}
