// gather_rows: y[s, c] = x[map[s], c] where map[s] < T, else 0
//   x      f32[T, C]   read
//   map    u32[S]      read
//   y      f32[S, C]   write
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y; C counts Vecs

override T: u32;
override C: u32;

@group(0) @binding(0) var<storage, read> x: array<Vec>;
@group(0) @binding(1) var<storage, read> map: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&y)) { return; }
  let row = map[i / C];
  var v = Vec();
  if (row < T) { v = x[row * C + i % C]; }
  y[i] = v;
}
