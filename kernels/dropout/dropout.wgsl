// dropout: y[i] = x[i] · KEEP where the draw of i is at least BELOW, else 0;  KEEP = 1 / (1 - p)
//   x      f32[N]   read
//   clock  u32[2]   read     seed and micro step
//   y      f32[N]   write
//   launch four elements a lane (one Philox block), 64 lanes a workgroup, grid in x and y

override N: u32;
override BELOW: u32;
override KEEP: f32;
override STREAM: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> clock: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = (group.y * groups.x + group.x) * 64u + lane;
  let draws = philox(vec2u(clock[0], 0u), vec4u(block, 0u, clock[1], STREAM));
  for (var j = 0u; j < 4u; j++) {
    let i = 4u * block + j;
    if (i < N) { y[i] = select(x[i] * KEEP, 0.0, (draws[j] >> 8u) < BELOW); }
  }
}
