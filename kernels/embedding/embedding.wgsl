// embedding: x[t, c] = w[ids[t], c]
//   table  u32          read    w[V, C] as words: f32, or f16 or bf16 in pairs; `element` reads one
//   ids    u32[T]       read    below V
//   x      f32[T, C]    write   only the rows whose id is in range
//   range  vec2u        read    the first of the table's rows that are bound, and the end of them
//   launch one lane an element, 64 lanes a workgroup, grid in x and y; once for every range

override N: u32;
override C: u32;

@group(0) @binding(0) var<storage, read> table: array<u32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read> range: vec2u;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= N) { return; }
  let id = ids[i / C];
  if (id >= range.x && id < range.y) { x[i] = element((id - range.x) * C + i % C); }
}
