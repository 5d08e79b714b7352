// attention, for few rows:
// o[t, h] = sum over s in [lo[t], hi[t]) of softmax_s(cap(SCALE · q[t, h]·k[s, g])) · v[s, g]
//   with g = h / (H / KV), and lse[t, h] = log of the softmax's denominator
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read   key s lies in row row_of(s), see whole_rows and paged_rows
//   v      Stored[S, KV, D]   read
//   spans  u32[T, 2]          read    (lo, hi); where lo >= hi, o = 0 and lse = 0
//   o      Stored[T, H, D]    write
//   lse    f32[T, H]          write
//   launch one workgroup of 64 lanes a row and head. Keys go by chunks: the lanes share the keys for
//   the scores and the width for the values, with a running maximum between chunks; f32
//   W = D in Vecs; the first STRIDE · PARTS lanes carry W Vecs (ACROSS each) of PARTS shares of the keys

override H: u32;
override KV: u32;
override W: u32;
override SCALE: f32;

const LOW = -3e38;
const LANES = 64u;
const CHUNK = 256u;
const STRIDE = min(W, LANES);
const PARTS = LANES / STRIDE;
const ACROSS = (W + LANES - 1u) / LANES;

@group(0) @binding(0) var<storage, read> q: array<Stored>;
@group(0) @binding(1) var<storage, read> k: array<Stored>;
@group(0) @binding(2) var<storage, read> v: array<Stored>;
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> o: array<Stored>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

var<workgroup> weight: array<f32, CHUNK>;
var<workgroup> highs: array<f32, LANES>;
var<workgroup> totals: array<f32, LANES>;
var<workgroup> shares: array<Vec, LANES>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let one = groups.z; // 1, which no compiler can know: unrolled, this takes long to compile on a CPU
  let row = group.x * H + group.y; // of o and q
  let shared_head = group.y / (H / KV);
  let span = spans[group.x];
  let column = lane % STRIDE;
  let share = lane / STRIDE;

  var sum: array<Vec, ACROSS>;
  var high = LOW;
  var total = 0f;
  for (var base = span.x; base < span.y; base += CHUNK) {
    let keys = min(CHUNK, span.y - base);
    var top = LOW;
    for (var key = lane; key < keys; key += LANES) {
      let at = (row_of(base + key) * KV + shared_head) * W;
      var score = 0f;
      for (var i = 0u; i < W * one; i++) { score += product(widened(q[row * W + i]) * SCALE, widened(k[at + i])); }
      score = capped(vec4f(score)).x;
      weight[key] = score;
      top = max(top, score);
    }
    highs[lane] = top;
    workgroupBarrier();
    top = high;
    for (var i = 0u; i < LANES * one; i++) { top = max(top, highs[i]); }
    let keep = exp(high - top);
    high = top;
    var own = 0f;
    for (var key = lane; key < keys; key += LANES) {
      let p = exp(weight[key] - high);
      weight[key] = p;
      own += p;
    }
    totals[lane] = own;
    workgroupBarrier();
    total *= keep;
    for (var i = 0u; i < LANES * one; i++) { total += totals[i]; }
    for (var a = 0u; a < ACROSS; a++) {
      let i = column + a * LANES;
      var part = Vec();
      if (share < PARTS && i < W) {
        for (var key = share; key < keys; key += PARTS) {
          part += weight[key] * widened(v[(row_of(base + key) * KV + shared_head) * W + i]);
        }
      }
      sum[a] = sum[a] * keep + part;
    }
    workgroupBarrier();
  }

  let some = span.x < span.y;
  let scale = 1f / select(1f, total, some);
  if (PARTS == 1u) {
    for (var a = 0u; a < ACROSS; a++) {
      let i = column + a * LANES;
      if (share == 0u && i < W) { o[row * W + i] = narrowed(sum[a] * scale); }
    }
  } else {
    shares[lane] = sum[0];
    workgroupBarrier();
    if (lane < STRIDE) {
      var whole = Vec();
      for (var part = 0u; part < PARTS; part++) { whole += shares[part * STRIDE + lane]; }
      o[row * W + lane] = narrowed(whole * scale);
    }
  }
  if (lane == 0u) { lse[row] = select(0f, high + log(total), some); }
}
