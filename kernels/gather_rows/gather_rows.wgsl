// gather_rows: y[s, c] = x[map[s], c] where map[s] < T, else 0
//   x    Words[T, C]   read
//   map  u32[S]        read
//   y    Words[S, C]   write
//   launch one Words a lane, 64 lanes a workgroup, grid in x and y; C counts Words
//   Words is vec4u or u32: bits are copied, whatever numbers they are

override T: u32;
override C: u32;

@group(0) @binding(0) var<storage, read> x: array<Words>;
@group(0) @binding(1) var<storage, read> map: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Words>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&y)) { return; }
  let row = map[i / C];
  var v = Words();
  if (row < T) { v = x[row * C + i % C]; }
  y[i] = v;
}
