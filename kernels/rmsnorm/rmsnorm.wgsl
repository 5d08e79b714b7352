// rmsnorm: rstd[t] = 1 / sqrt(mean over c of x[t, c]² + EPS)
//          y[t, c] = x[t, c] * rstd[t] * (w[c] + SHIFT)
//   x     f32[T, C]      read
//   w     f32[C]         read    gain; SHIFT is 1 where checkpoints hold gain - 1
//   y     Stored[T, C]   write
//   rstd  f32[T]         write   read by the backward pass
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

override EPS: f32;
override SHIFT: f32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read> w: array<Vec>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= arrayLength(&rstd)) { return; }
  let W = arrayLength(&w);
  let row = t * W;
  var squares = Vec();
  for (var c = lane; c < W; c += LANES) {
    let v = x[row + c];
    squares += v * v;
  }
  let r = inverseSqrt(workgroup_sum(total(squares), lane) / f32(W * WIDTH) + EPS);
  for (var c = lane; c < W; c += LANES) {
    y[row + c] = narrowed(x[row + c] * r * (w[c] + SHIFT));
  }
  if (lane == 0u) { rstd[t] = r; }
}
