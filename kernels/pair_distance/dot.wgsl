// pair_distance, by products: d[n] = FROM - sum over c of x[n, c] * y[n, c]
//   x  Vec[N, C]   read
//   y  Vec[N, C]   read
//   d  f32[N]      write
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

override FROM: f32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read> y: array<Vec>;
@group(0) @binding(2) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = group.y * groups.x + group.x;
  if (n >= arrayLength(&d)) { return; }
  let W = arrayLength(&x) / arrayLength(&d);
  var products = Vec();
  for (var c = lane; c < W; c += LANES) { products += x[n * W + c] * y[n * W + c]; }
  let sum = workgroup_sum(total(products), lane);
  if (lane == 0u) { d[n] = FROM - sum; }
}
