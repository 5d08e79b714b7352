// dropout: y[i] = x[i] · KEEP where the draw of i is at least BELOW, else 0;  KEEP = 1 / (1 - p)
//   for N a multiple of 4
//   x      Stored[N]   read
//   clock  u32[2]      read    seed and micro step
//   y      Stored[N]   write
//   launch four elements a lane (one Philox block), 64 lanes a workgroup, grid in x and y

override BELOW: u32;
override KEEP: f32;
override STREAM: u32;

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> clock: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = (group.y * groups.x + group.x) * 64u + lane;
  if (block >= arrayLength(&y)) { return; }
  let draws = philox(vec2u(clock[0], 0u), vec4u(block, 0u, clock[1], STREAM));
  let dropped = (draws >> vec4u(8u)) < vec4u(BELOW);
  y[block] = narrowed(select(widened(x[block]) * KEEP, vec4f(), dropped));
}
