// layernorm_dx: with x̂ = (x - mean) * rstd and h[t, c] = dy[t, c] * w[c]
//   dx[t, c] = rstd[t] * (h[t, c] - mean over c of h[t, c] - x̂[t, c] * mean over c of h[t, c] * x̂[t, c])
//   dy     f32[T, C]   read
//   x      f32[T, C]   read
//   w      f32[C]      read    gain
//   stats  f32[T, 2]   read    (mean, rstd)
//   dx     f32[T, C]   write
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> w: array<Vec>;
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> dx: array<Vec>;

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
  let mean = stats[t].x;
  let rstd = stats[t].y;
  var plain = Vec();
  var along = Vec();
  for (var c = lane; c < W; c += LANES) {
    let h = dy[row + c] * w[c];
    plain += h;
    along += h * ((x[row + c] - mean) * rstd);
  }
  let means = workgroup_sum(vec2f(total(plain), total(along)), lane) / f32(W * WIDTH);
  for (var c = lane; c < W; c += LANES) {
    let h = dy[row + c] * w[c];
    dx[row + c] = rstd * (h - means.x - (x[row + c] - mean) * rstd * means.y);
  }
}
