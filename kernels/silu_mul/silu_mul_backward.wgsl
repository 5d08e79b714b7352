// silu_mul_backward: with s = 1 / (1 + exp(-gate))
//   dgate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s)),   dup[i] = dy[i] * gate[i] * s
//   dy     f32[N]      read
//   gate   Stored[N]   read
//   up     Stored[N]   read
//   dgate  f32[N]      write
//   dup    f32[N]      write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

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
  // The bound keeps exp finite; a NaN that it hides comes back through the factor a.
  let s = 1.0 / (1.0 + exp(min(-a, Vec(87.0))));
  dgate[i] = d * widened(up[i]) * s * (1.0 + a * (1.0 - s));
  dup[i] = d * a * s;
}
