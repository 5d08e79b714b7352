// gelu_mul: y[i] = 0.5 * gate[i] * (1 + tanh(z)) * up[i],
//   z = sqrt(2 / π) * (gate[i] + 0.044715 * gate[i]³)
//   computed with 1 / (1 + exp(-2 z)), the same function: small results of a negative gate keep their digits
//   gate  Stored[N]   read
//   up    Stored[N]   read
//   y     Stored[N]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

const TWICE = 1.5957691216057308; // 2 * sqrt(2 / π)

@group(0) @binding(0) var<storage, read> gate: array<Stored>;
@group(0) @binding(1) var<storage, read> up: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&gate)) { return; }
  let a = widened(gate[i]);
  // Beyond ±10 gelu is a or 0 in f32; a NaN that the bounds hide comes back through the factor a.
  let c = clamp(a, Vec(-10.0), Vec(10.0));
  y[i] = narrowed(a / (1.0 + exp(-TWICE * (c + 0.044715 * c * c * c))) * widened(up[i]));
}
