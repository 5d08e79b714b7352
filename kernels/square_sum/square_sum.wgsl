// square_sum: part[b] = sum over the BLOCK elements i of block b of x[i]²
//   x     f32[N]        read
//   part  f32[BLOCKS]   write
//   launch one workgroup of LANES lanes a block, grid in x and y; sums in f32, in a fixed order

override BLOCK: u32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let b = group.y * groups.x + group.x;
  let first = b * (BLOCK / WIDTH);
  if (first >= arrayLength(&x)) { return; }
  let end = min(first + BLOCK / WIDTH, arrayLength(&x));
  var squares = Vec();
  for (var i = first + lane; i < end; i += LANES) { squares += x[i] * x[i]; }
  let sum = workgroup_sum(total(squares), lane);
  if (lane == 0u) { part[b] = sum; }
}
