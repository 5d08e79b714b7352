// attention_backward, first: stats[t, h] = (lse[t, h], sum over i of do[t, h, i] · o[t, h, i])
//   dout   Vec[T, H, D]      read
//   o      Stored[T, H, D]   read
//   lse    f32[T, H]         read
//   stats  f32[T, H, 2]      write
//   launch one lane a row and head, 64 lanes a workgroup, grid in x and y; f32
//   Vec is vec4f where D is a multiple of 4, else f32; W = D in Vecs; Stored holds a Vec

override W: u32;

@group(0) @binding(0) var<storage, read> dout: array<Vec>;
@group(0) @binding(1) var<storage, read> o: array<Stored>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<vec2f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.y * groups.x + group.x) * 64u + lane;
  if (n >= arrayLength(&lse)) { return; }
  var delta = 0f;
  for (var i = 0u; i < W; i++) { delta += product(dout[n * W + i], widened(o[n * W + i])); }
  stats[n] = vec2f(lse[n], delta);
}
