// embedding, of a table in blocks of GGUF: x[t, c] = w[ids[t], c]
//   ids    u32[T]          read
//   table  see the parts blocks_*
//   x      f32[T, C]       write   C is a multiple of 4
//   size   vec3u           read    rows of the table, C, and the id of the first row; other ids are left as they are
//   launch one lane four elements, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(3) var<storage, read> size: vec3u;

fn right_height() -> u32 { return size.x; }
fn right_width() -> u32 { return size.y; }

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&x)) { return; }
  let across = size.y / 4u;
  let row = ids[i / across] - size.z;
  if (row < size.x) { x[i] = right(row, i % across * 4u); }
}
