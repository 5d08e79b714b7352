// attention: o[t, h] = sum over s in [lo[t], hi[t]) of softmax_s(cap(SCALE · q[t, h]·k[s, g])) · v[s, g]
//   with g = h / (H / KV), and lse[t, h] = log of the softmax's denominator
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read   key s lies in row row_of(s), see whole_rows and paged_rows
//   v      Stored[S, KV, D]   read
//   spans  u32[T, 2]          read    (lo, hi); where lo >= hi, o = 0 and lse = 0
//   o      Stored[T, H, D]    write
//   lse    f32[T, H]          write
//   launch one workgroup of X by X lanes for TILE rows of one head; TILE keys at a time with a running
//   maximum (Milakov and Gimelshein 2018; Dao et al. 2022); f32
//   Vec is vec4f where D is a multiple of 4, else f32; W = D in Vecs; Stored holds a Vec

override H: u32;
override KV: u32;
override W: u32;
override TILE: u32;
override SCALE: f32;

const LOW = -3e38;
const ACROSS = (W + X - 1u) / X;

@group(0) @binding(0) var<storage, read> q: array<Stored>;
@group(0) @binding(1) var<storage, read> k: array<Stored>;
@group(0) @binding(2) var<storage, read> v: array<Stored>;
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> o: array<Stored>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

var<workgroup> shares: array<vec4f, X * X>;

/// The shares of all lanes with the same rows, combined: the maximum, or the sum.
fn highest(share: vec4f, lane: vec2u) -> vec4f {
  shares[lane.y * X + lane.x] = share;
  workgroupBarrier();
  var result = share;
  for (var x = 0u; x < X; x++) { result = max(result, shares[lane.y * X + x]); }
  return result;
}
fn added(share: vec4f, lane: vec2u) -> vec4f {
  shares[lane.y * X + lane.x] = share;
  workgroupBarrier();
  var result = vec4f();
  for (var x = 0u; x < X; x++) { result += shares[lane.y * X + x]; }
  return result;
}

@compute @workgroup_size(X, X)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let one = groups.z; // 1, which no compiler can know: unrolled, this takes minutes to compile on a CPU
  let lane = local.xy;
  let first = group.x * TILE;
  let N = arrayLength(&spans);
  let head = group.y;
  let rows = min(first + lane.y + X * vec4u(0u, 1u, 2u, 3u), vec4u(N - 1u));
  let a = spans[rows.x];
  let b = spans[rows.y];
  let c = spans[rows.z];
  let d = spans[rows.w];
  let lo = vec4u(a.x, b.x, c.x, d.x);
  let hi = vec4u(a.y, b.y, c.y, d.y);

  var sum: array<Vec, 4 * ACROSS>; // [column, row]
  var high = vec4f(LOW);
  var total = vec4f(); // over this lane's keys
  for (var run = next_run(first, 0u); run.x != NONE; run = next_run(first, run.y)) {
    for (var key = run.x; key < run.y; key += TILE) {
      var score = array<vec4f, 4>();
      for (var from_d = 0u; from_d < W; from_d += STEP * one) {
        for (var n = index; n < TILE * STEP; n += X * X * one) {
          let line = n / STEP;
          let i = min(from_d + n % STEP, W - 1u);
          let place = line * PITCH + n % STEP;
          left[place] = widened(q[(min(first + line, N - 1u) * H + head) * W + i]) * SCALE;
          right[place] = widened(k[(row_of(min(key + line, run.y - 1u)) * KV + head / (H / KV)) * W + i]);
        }
        workgroupBarrier();
        multiply(&score, lane, min(STEP, W - from_d));
        workgroupBarrier();
      }

      var top = high;
      for (var c = 0u; c < 4u; c++) {
        let s = key + lane.x + c * X;
        score[c] = select(vec4f(LOW), capped(score[c]), (vec4u(s) >= lo) & (vec4u(s) < min(hi, run.yyyy)));
        top = max(top, score[c]);
      }
      top = highest(top, lane);
      let keep = exp(high - top);
      high = top;
      total *= keep;
      for (var c = 0u; c < 4u; c++) {
        let s = key + lane.x + c * X;
        let seen = (vec4u(s) >= lo) & (vec4u(s) < min(hi, run.yyyy));
        let weight = select(vec4f(), exp(score[c] - high), seen);
        total += weight;
        weights[(lane.x + c * X) * X + lane.y] = weight;
      }
      workgroupBarrier();

      for (var j = 0u; j < ACROSS; j++) {
        for (var r = 0u; r < 4u; r++) { sum[4u * j + r] *= keep[r]; }
      }
      let keys = min(TILE, run.y - key);
      for (var n = 0u; n < keys; n++) {
        let weight = weights[n * X + lane.y];
        let from_key = (row_of(key + n) * KV + head / (H / KV)) * W;
        for (var j = 0u; j < ACROSS; j++) {
          let value = widened(v[from_key + min(lane.x + j * X, W - 1u)]);
          for (var r = 0u; r < 4u; r++) { sum[4u * j + r] += weight[r] * value; }
        }
      }
    }
  }

  total = added(total, lane);
  let some = lo < hi;
  let scale = 1f / select(vec4f(1f), total, some);
  for (var j = 0u; j < ACROSS; j++) {
    let i = lane.x + j * X;
    for (var r = 0u; r < 4u; r++) {
      let row = first + lane.y + r * X;
      if (row < N && i < W) { o[(row * H + head) * W + i] = narrowed(sum[4u * j + r] * scale[r]); }
    }
  }
  if (lane.x > 0u) { return; }
  let log_total = select(vec4f(), high + log(total), some);
  for (var r = 0u; r < 4u; r++) {
    let row = first + lane.y + r * X;
    if (row < N) { lse[row * H + head] = log_total[r]; }
  }
}
