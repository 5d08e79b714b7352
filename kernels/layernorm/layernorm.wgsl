// layernorm: y[t, c] = (x[t, c] - mean[t]) * rstd[t] * w[c] + b[c],   rstd[t] = 1 / sqrt(variance[t] + EPS)
//   x      f32[T, C]      read
//   w      f32[C]         read    gain
//   b      f32[C]         read    bias
//   y      Stored[T, C]   write
//   stats  f32[T, 2]      write   (mean, rstd), read by the backward pass
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32, in two passes: the mean of
//     squares less the square of the mean loses digits when the mean is large. The second pass also finds
//     what the rounding of the first mean left over.

override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read> w: array<Vec>;
@group(0) @binding(2) var<storage, read> b: array<Vec>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= arrayLength(&stats)) { return; }
  let W = arrayLength(&w);
  let row = t * W;
  var sums = Vec();
  for (var c = lane; c < W; c += LANES) { sums += x[row + c]; }
  let rough = workgroup_sum(vec2f(total(sums), 0.0), lane).x / f32(W * WIDTH);
  var rests = Vec();
  var squares = Vec();
  for (var c = lane; c < W; c += LANES) {
    let d = x[row + c] - rough;
    rests += d;
    squares += d * d;
  }
  let moments = workgroup_sum(vec2f(total(rests), total(squares)), lane) / f32(W * WIDTH);
  let rstd = inverseSqrt(moments.y - moments.x * moments.x + EPS);
  for (var c = lane; c < W; c += LANES) {
    y[row + c] = narrowed((x[row + c] - rough - moments.x) * rstd * w[c] + b[c]);
  }
  if (lane == 0u) { stats[t] = vec2f(rough + moments.x, rstd); }
}
