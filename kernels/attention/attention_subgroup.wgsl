// attention: o[t, h] = sum over s in [lo[t], hi[t]) of softmax_s(cap(SCALE · q[t, h]·k[s, g])) · v[s, g]
//   with g = h / (H / KV), and lse[t, h] = log of the softmax's denominator
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read   key s lies in row row_of(s), see whole_rows and paged_rows
//   v      Stored[S, KV, D]   read
//   spans  u32[T, 2]          read    (lo, hi); where lo >= hi, o = 0 and lse = 0
//   o      Stored[T, H, D]    write
//   lse    f32[T, H]          write
//   launch one subgroup of 8 lanes for 8 rows of one head; 8 keys at a time: each lane loads its
//   own and gives it to the others, for adapters where a load costs more than a product; f32
//   Vec is vec4f where D is a multiple of 4, else f32; W = D in Vecs; Stored holds a Vec

enable subgroups;

override H: u32;
override KV: u32;
override W: u32;
override SCALE: f32;

const TILE = 8u;
const LOW = -3e38;

@group(0) @binding(0) var<storage, read> q: array<Stored>;
@group(0) @binding(1) var<storage, read> k: array<Stored>;
@group(0) @binding(2) var<storage, read> v: array<Stored>;
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> o: array<Stored>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let wide = W * groups.z; // W; as a number no compiler can know, so that loops over it stay loops
  let N = arrayLength(&spans);
  let first = group.x * TILE;
  let row = min(first + lane, N - 1u); // lanes past the end do the last row's work and keep it
  let mine = first + lane < N;
  let at = (row * H + group.y) * W;
  let span = spans[row];

  var high = LOW;
  var total = 0f;
  var sum: array<Vec, W>;
  for (var run = next_run(first, 0u); run.x != NONE; run = next_run(first, run.y)) {
    for (var key = run.x; key < run.y; key += 8u) {
      let from_key = (row_of(min(key + lane, run.y - 1u)) * KV + group.y / (H / KV)) * W;
      var near = vec4f();
      var far = vec4f();
      for (var i = 0u; i < wide; i++) {
        multiply(widened(q[at + i]) * SCALE, widened(k[from_key + i]), &near, &far);
      }
      let end = min(span.y, run.y);
      let near_seen = seen(key, span.x, end);
      let far_seen = seen(key + 4u, span.x, end);
      near = select(vec4f(LOW), capped(near), near_seen);
      far = select(vec4f(LOW), capped(far), far_seen);
      let tops = max(near, far);
      let top = max(high, max(max(tops.x, tops.y), max(tops.z, tops.w)));
      let keep = exp(high - top);
      high = top;
      near = select(vec4f(), exp(near - top), near_seen);
      far = select(vec4f(), exp(far - top), far_seen);
      total = total * keep + dot(near + far, vec4f(1f));
      for (var i = 0u; i < wide; i++) {
        sum[i] = sum[i] * keep + combine(near, far, widened(v[from_key + i]));
      }
    }
  }

  if (!mine) { return; }
  let some = span.x < span.y;
  let scale = 1f / select(1f, total, some);
  for (var i = 0u; i < wide; i++) { o[at + i] = narrowed(sum[i] * scale); }
  lse[row * H + group.y] = select(0f, high + log(total), some);
}
