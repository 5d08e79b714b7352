// gelu_new_backward: dx[i] = dy[i] * (s + x[i] * s * (1 - s) * z2'),   s = 1 / (1 + exp(-z2)),
//   z2 = 2 * sqrt(2 / π) * (x[i] + 0.044715 * x[i]³),   z2' = 2 * sqrt(2 / π) * (1 + 3 * 0.044715 * x[i]²)
//   dy  f32[N]      read
//   x   Stored[N]   read
//   dx  f32[N]      write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

const TWICE = 1.5957691216057308; // 2 * sqrt(2 / π)

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> dx: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&x)) { return; }
  let a = widened(x[i]);
  // Beyond ±10 the slope is 1 or 0 in f32; a NaN that the bounds hide comes back through the factor a.
  let c = clamp(a, Vec(-10.0), Vec(10.0));
  let s = 1.0 / (1.0 + exp(-TWICE * (c + 0.044715 * c * c * c)));
  dx[i] = dy[i] * (s + a * s * (1.0 - s) * (TWICE * (1.0 + 0.134145 * c * c)));
}
