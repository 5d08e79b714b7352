// normalise_backward: with u = x * r,
//   dx[t, c] = LENGTH * r[t] * (dy[t, c] - u[t, c] * sum over c of dy[t, c] * u[t, c])
//   where the norm was below EPS, r is a constant and the sum is left out
//   dy  Vec[T, C]   read
//   x   Vec[T, C]   read
//   r   f32[T]      read
//   dx  Vec[T, C]   write
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

override LENGTH: f32;
override EPS: f32;

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Vec>;
@group(0) @binding(2) var<storage, read> r: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<Vec>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let t = group.y * groups.x + group.x;
  if (t >= arrayLength(&r)) { return; }
  let W = arrayLength(&dx) / arrayLength(&r);
  let row = t * W;
  let f = r[t];
  var products = Vec();
  for (var c = lane; c < W; c += LANES) { products += dy[row + c] * (x[row + c] * f); }
  let along = select(workgroup_sum(total(products), lane), 0f, f >= 1f / EPS);
  for (var c = lane; c < W; c += LANES) {
    dx[row + c] = LENGTH * f * (dy[row + c] - x[row + c] * f * along);
  }
}
