// embedding_backward: dw[v, c] = sum of dx[t, c] over the tokens t with ids[t] = v, in rising t
//   dx      Vec[T, C]   read
//   order   u32[T]      read    tokens sorted by id, stable
//   bounds  u32[V+1]    read    id v has order[bounds[v]] to order[bounds[v + 1] - 1]
//   dw      Vec[V, C]   write   zero for ids that do not occur
//   launch one lane a Vec of dw, 64 lanes a workgroup, grid in x and y; sums in f32
//   Vec is vec4f where C is a multiple of 4, else f32; C and N count Vecs

override N: u32;
override C: u32;

@group(0) @binding(0) var<storage, read> dx: array<Vec>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> bounds: array<u32>;
@group(0) @binding(3) var<storage, read_write> dw: array<Vec>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.y * groups.x + group.x) * 64u + lane;
  if (n >= N) { return; }
  let v = n / C;
  var sum = Vec();
  let end = bounds[v + 1u];
  for (var i = bounds[v]; i < end; i++) { sum += dx[order[i] * C + n % C]; }
  dw[n] = sum;
}
