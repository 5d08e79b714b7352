// cursor_advance: the drawn tokens become those of the next step, and are noted for the host
//   drawn   u32[S]      read
//   cursor  u32[S, 4]   read_write   (token, its position, tokens still to draw, -); 0 left: kept
//   notes   u32[S, N]   read_write   a token is noted at its position modulo N
//   launch one lane a request, 64 lanes a workgroup

@group(0) @binding(0) var<storage, read> drawn: array<u32>;
@group(0) @binding(1) var<storage, read_write> cursor: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> notes: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let s = id.x;
  if (s >= arrayLength(&cursor)) { return; }
  let at = cursor[s];
  if (at.z == 0u) { return; }
  let across = arrayLength(&notes) / arrayLength(&cursor);
  let next = at.y + 1u;
  notes[s * across + next % across] = drawn[s];
  cursor[s] = vec4u(drawn[s], next, at.z - 1u, at.w);
}
