// normalise: y[t, c] = LENGTH * x[t, c] * r[t],   r[t] = 1 / max(sqrt(sum over c of x[t, c]²), EPS)
//   x  Vec[T, C]   read
//   y  Vec[T, C]   write
//   r  f32[T]      write   read by the backward pass
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

override LENGTH: f32;
override EPS: f32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read_write> y: array<Vec>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= arrayLength(&r)) { return; }
  let W = arrayLength(&y) / arrayLength(&r);
  let row = t * W;
  var squares = Vec();
  for (var c = lane; c < W; c += LANES) {
    let v = x[row + c];
    squares += v * v;
  }
  let f = 1f / max(sqrt(workgroup_sum(total(squares), lane)), EPS);
  for (var c = lane; c < W; c += LANES) { y[row + c] = LENGTH * (x[row + c] * f); }
  if (lane == 0u) { r[t] = f; }
}
