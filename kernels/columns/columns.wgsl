// columns: y[t * to.stride + to.first + c] = x[t * at.stride + at.first + c] for the WIDTH columns c of each
// row t, N in all: one part of a row, into it or out of it
//   x      Stored[…]   read
//   y      Stored[…]   write
//   sizes  u32[6]      read    (N, WIDTH, at.stride, at.first, to.stride, to.first), in Vecs
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y
//   Vec is vec4f where all widths are multiples of 4, else f32

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;
@group(0) @binding(2) var<storage, read> sizes: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= sizes[0]) { return; }
  let t = i / sizes[1];
  let c = i % sizes[1];
  y[t * sizes[4] + sizes[5] + c] = x[t * sizes[2] + sizes[3] + c];
}
