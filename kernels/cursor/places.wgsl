// cursor_places: what a decoding step computes, one token a request
//   cursor     u32[S, 4]   read    (token, its position, tokens still to draw, -)
//   pages      u32         read    where the keys from PAGE i on are; request s has those from s CONTEXT on
//   ids        u32[S]      write   the token; 0 where nothing is left to draw
//   positions  u32[S]      write   its position; 0
//   rows       u32[S]      write   the row of the cache that its key takes; 0xffffffff, which is none
//   spans      u32[S, 2]   write   the keys it sees; none
//   size       vec2u       read    CONTEXT and PAGE
//   launch one lane a request, 64 lanes a workgroup

@group(0) @binding(0) var<storage, read> cursor: array<vec4u>;
@group(0) @binding(1) var<storage, read> pages: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<u32>;
@group(0) @binding(5) var<storage, read_write> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read> size: vec2u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let s = id.x;
  if (s >= arrayLength(&cursor)) { return; }
  let at = cursor[s];
  let live = at.z > 0u;
  let key = s * size.x + at.y;
  ids[s] = select(0u, at.x, live);
  positions[s] = select(0u, at.y, live);
  rows[s] = 0xffffffffu;
  if (live) { rows[s] = pages[key / size.y] * size.y + key % size.y; }
  spans[s] = select(vec2u(), vec2u(s * size.x, key + 1u), live);
}
