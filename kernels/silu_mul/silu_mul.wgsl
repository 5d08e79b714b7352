// silu_mul: y[i] = gate[i] * s(gate[i]) * up[i],   s(a) = 1 / (1 + exp(-a))
//   gate  Stored[N]   read
//   up    Stored[N]   read
//   y     Stored[N]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

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
  // The bound keeps exp finite; a NaN that it hides comes back through the factor a.
  let s = 1.0 / (1.0 + exp(min(-a, Vec(87.0))));
  y[i] = narrowed(a * s * widened(up[i]));
}
