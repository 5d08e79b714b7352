// attention_backward, for keys and values: with z[t] = cap(SCALE · q[t]·k), p[t] = exp(z[t] - lse[t]) and
// ds[t] = p[t]·(do[t]·v - delta[t])·cap'[t], summed over the H / KV query heads that share the key's head:
//   dk[s] = SCALE · sum over t in [lo[s], hi[s]) of ds[t] · q[t]
//   dv[s] =         sum over t in [lo[s], hi[s]) of p[t] · do[t]
//   dout   Vec[T, H, D]       read
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read
//   v      Stored[S, KV, D]   read
//   stats  f32[T, H, 2]       read    (lse, delta) of delta.wgsl
//   spans  u32[S, 2]          read    (lo, hi): the rows that see key s
//   dk     Vec[S, KV, D]      write
//   dv     Vec[S, KV, D]      write
//   launch one workgroup of X by X lanes for TILE keys of one head; f32, the sums in order of head and
//   row, so no atomics are needed
//   Here the rows of a tile are keys, and its columns are queries.

override H: u32;
override KV: u32;
override W: u32;
override TILE: u32;
override SCALE: f32;

const ACROSS = (W + X - 1u) / X;

@group(0) @binding(0) var<storage, read> dout: array<Vec>;
@group(0) @binding(1) var<storage, read> q: array<Stored>;
@group(0) @binding(2) var<storage, read> k: array<Stored>;
@group(0) @binding(3) var<storage, read> v: array<Stored>;
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dk: array<Vec>;
@group(0) @binding(7) var<storage, read_write> dv: array<Vec>;

var<workgroup> slopes: array<vec4f, TILE * X>; // ds, beside p in `weights`

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
  let rows = min(first + lane.y + X * vec4u(0u, 1u, 2u, 3u), vec4u(N - 1u));
  let a = spans[rows.x];
  let b = spans[rows.y];
  let c = spans[rows.z];
  let d = spans[rows.w];
  let lo = vec4u(a.x, b.x, c.x, d.x);
  let hi = vec4u(a.y, b.y, c.y, d.y);

  var key_sum: array<Vec, 4 * ACROSS>; // [column, row]
  var value_sum: array<Vec, 4 * ACROSS>;
  for (var head = group.y * (H / KV); head < (group.y + 1u) * (H / KV); head++) {
    for (var run = next_run(first, 0u); run.x != NONE; run = next_run(first, run.y)) {
      for (var query = run.x; query < run.y; query += TILE) {
        var score = array<vec4f, 4>();
        var dp = array<vec4f, 4>();
        for (var turn = 0u; turn < 2u * one; turn++) { // first the scores, then dp
          score = dp;
          dp = array<vec4f, 4>();
          for (var from_d = 0u; from_d < W; from_d += STEP * one) {
            for (var n = index; n < TILE * STEP; n += X * X * one) {
              let line = n / STEP;
              let i = min(from_d + n % STEP, W - 1u);
              let row = (min(first + line, N - 1u) * KV + group.y) * W + i;
              let column = (min(query + line, run.y - 1u) * H + head) * W + i;
              let place = line * PITCH + n % STEP;
              if (turn == 0u) {
                left[place] = widened(k[row]) * SCALE;
                right[place] = widened(q[column]);
              } else {
                left[place] = widened(v[row]);
                right[place] = dout[column];
              }
            }
            workgroupBarrier();
            multiply(&dp, lane, min(STEP, W - from_d));
            workgroupBarrier();
          }
        }
        for (var c = 0u; c < 4u; c++) {
          let t = query + lane.x + c * X;
          let stat = stats[min(t, run.y - 1u) * H + head];
          let seen = (vec4u(t) >= lo) & (vec4u(t) < min(hi, run.yyyy));
          let z = capped(score[c]);
          let p = select(vec4f(), exp(z - stat.x), seen);
          weights[(lane.x + c * X) * X + lane.y] = p;
          slopes[(lane.x + c * X) * X + lane.y] = select(vec4f(), p * (dp[c] - stat.y) * slope(z), seen);
        }
        workgroupBarrier();

        let queries = min(TILE, run.y - query);
        for (var n = 0u; n < queries; n++) {
          let p = weights[n * X + lane.y];
          let ds = slopes[n * X + lane.y];
          let from_query = ((query + n) * H + head) * W;
          for (var j = 0u; j < ACROSS; j++) {
            let i = from_query + min(lane.x + j * X, W - 1u);
            let flow = dout[i];
            let other = widened(q[i]);
            for (var r = 0u; r < 4u; r++) {
              value_sum[4u * j + r] += p[r] * flow;
              key_sum[4u * j + r] += ds[r] * other;
            }
          }
        }
      }
    }
  }
  for (var j = 0u; j < ACROSS; j++) {
    let i = lane.x + j * X;
    for (var r = 0u; r < 4u; r++) {
      let row = first + lane.y + r * X;
      if (row < N && i < W) { 
        let at = (row * KV + group.y) * W + i;
        dk[at] = key_sum[4u * j + r] * SCALE;
        dv[at] = value_sum[4u * j + r];
      }
    }
  }
}
