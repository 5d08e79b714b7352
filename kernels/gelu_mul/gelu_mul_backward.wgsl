// gelu_mul_backward: with s = 1 / (1 + exp(-z2)), z2 = 2 * sqrt(2 / π) * (gate + 0.044715 * gate³)
// and its slope z2' = 2 * sqrt(2 / π) * (1 + 3 * 0.044715 * gate²):
//   dgate[i] = dy[i] * up[i] * (s + gate[i] * s * (1 - s) * z2'),   dup[i] = dy[i] * gate[i] * s
//   dy     f32[N]      read
//   gate   Stored[N]   read
//   up     Stored[N]   read
//   dgate  f32[N]      write
//   dup    f32[N]      write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

const TWICE = 1.5957691216057308; // 2 * sqrt(2 / π)

@group(0) @binding(0) var<storage, read> dy: array<Vec>;
@group(0) @binding(1) var<storage, read> gate: array<Stored>;
@group(0) @binding(2) var<storage, read> up: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dgate: array<Vec>;
@group(0) @binding(4) var<storage, read_write> dup: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&dy)) { return; }
  let a = widened(gate[i]);
  let d = dy[i];
  // Beyond ±10 the slope is 1 or 0 in f32; a NaN that the bounds hide comes back through the factor a.
  let c = clamp(a, Vec(-10.0), Vec(10.0));
  let s = 1.0 / (1.0 + exp(-TWICE * (c + 0.044715 * c * c * c)));
  dgate[i] = d * widened(up[i]) * (s + a * s * (1.0 - s) * (TWICE * (1.0 + 0.134145 * c * c)));
  dup[i] = d * a * s;
}
