// rmsnorm_dx: with x̂ = x * rstd and h[t, c] = dy[t, c] * (w[c] + SHIFT)
//             dx[t, c] = rstd[t] * (h[t, c] - x̂[t, c] * mean over c of h[t, c] * x̂[t, c])
//   dy    f32[T, C]   read
//   x     f32[T, C]   read
//   w     f32[C]      read    gain; SHIFT is 1 where checkpoints hold gain - 1
//   rstd  f32[T]      read
//   dx    f32[T, C]   write
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

override SHIFT: f32;

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> w: array<Vec>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<Vec>;

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
  let r = rstd[t];
  var products = Vec();
  for (var c = lane; c < W; c += LANES) {
    products += dy[row + c] * (w[c] + SHIFT) * (x[row + c] * r);
  }
  let mean = workgroup_sum(total(products), lane) / f32(W * WIDTH);
  for (var c = lane; c < W; c += LANES) {
    dx[row + c] = r * (dy[row + c] * (w[c] + SHIFT) - x[row + c] * r * mean);
  }
}
