// saturation: count += how many numbers of x are ±65504, as which f16 stores what is beyond
//   count  u32[1]   read_write   atomic: whole numbers, so that their order does not matter
//   x      u32[N]   read         two f16 a word
//   launch up to EACH pairs of words a lane, 64 lanes a workgroup, grid in x and y

const EACH = 16u;

@group(0) @binding(0) var<storage, read_write> count: atomic<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec2u>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * 64u * EACH + lane;
  let end = min(first + 64u * EACH, arrayLength(&x));
  var found = vec4u();
  for (var i = first; i < end; i += 64u) {
    let pair = x[i];
    found += select(vec4u(), vec4u(1u), (vec4u(pair, pair >> vec2u(16u)) & vec4u(0x7fffu)) == vec4u(0x7bffu));
  }
  let all = found.x + found.y + found.z + found.w;
  if (all > 0u) { atomicAdd(&count, all); }
}
