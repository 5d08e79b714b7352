// magnitude: y[t, c] = x[t, c] · m[c] / norm[c], and + bias[c] where BIAS is 1; 0 for x where norm[c] is 0
//   x     f32[T, C]   read
//   m     f32[C]      read
//   norm  f32[C]      read
//   bias  f32[C]      read
//   y     f32[T, C]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y; C counts Vecs

override C: u32;
override BIAS: u32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read> m: array<Vec>;
@group(0) @binding(2) var<storage, read> norm: array<Vec>;
@group(0) @binding(3) var<storage, read> bias: array<Vec>;
@group(0) @binding(4) var<storage, read_write> y: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&y)) { return; }
  let c = i % C;
  let scaled = x[i] * select(m[c] / norm[c], Vec(), norm[c] == Vec());
  y[i] = select(scaled, scaled + bias[c], BIAS == 1u);
}
