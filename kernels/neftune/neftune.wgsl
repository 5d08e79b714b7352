// neftune: y[t, c] = x[t, c] + u · SCALE / sqrt(length of the sequence that t is in)
//   u is drawn evenly from [-1, 1), SCALE = alpha / sqrt(C); a place in no sequence stays as it is
//   x      f32[T, C]   read
//   spans  u32[T, 2]   read     where the sequence of t begins, and one past t
//   reach  u32[T, 2]   read     t, and one past the end of its sequence
//   clock  u32[2]      read     seed and micro step
//   y      f32[T, C]   write
//   launch four elements a lane (one Philox block), 64 lanes a workgroup, grid in x and y; N = T · C

override N: u32;
override C: u32;
override SCALE: f32;
override STREAM: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> spans: array<vec2u>;
@group(0) @binding(2) var<storage, read> reach: array<vec2u>;
@group(0) @binding(3) var<storage, read> clock: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

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
    if (i >= N) { return; }
    let t = i / C;
    let length = reach[t].y - spans[t].x;
    let u = f32(draws[j] >> 8u) * 0x1p-23f - 1f;
    y[i] = x[i] + select(u * (SCALE / sqrt(f32(length))), 0f, length == 0u);
  }
}
