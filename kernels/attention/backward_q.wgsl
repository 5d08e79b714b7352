// attention_backward, for queries: with z[s] = cap(SCALE · q·k[s]), p[s] = exp(z[s] - lse) and
// ds[s] = p[s]·(do·v[s] - delta)·cap'[s]:
//   dq[t, h] = SCALE · sum over s in [lo[t], hi[t]) of ds[s] · k[s, g],   g = h / (H / KV)
//   dout   Vec[T, H, D]       read
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read
//   v      Stored[S, KV, D]   read
//   stats  f32[T, H, 2]       read    (lse, delta) of delta.wgsl
//   spans  u32[T, 2]          read    (lo, hi)
//   dq     Vec[T, H, D]       write
//   launch as attention.wgsl; f32 (Dao et al. 2022, algorithm 4)

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
@group(0) @binding(6) var<storage, read_write> dq: array<Vec>;

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
  let e = stats[rows.x * H + head];
  let f = stats[rows.y * H + head];
  let g = stats[rows.z * H + head];
  let h = stats[rows.w * H + head];
  let lse = vec4f(e.x, f.x, g.x, h.x);
  let delta = vec4f(e.y, f.y, g.y, h.y);

  var sum: array<Vec, 4 * ACROSS>; // [column, row]
  for (var run = next_run(first, 0u); run.x != NONE; run = next_run(first, run.y)) {
    for (var key = run.x; key < run.y; key += TILE) {
      var score = array<vec4f, 4>();
      var dp = array<vec4f, 4>();
      for (var turn = 0u; turn < 2u * one; turn++) { // first the scores, then dp
        score = dp;
        dp = array<vec4f, 4>();
        for (var from_d = 0u; from_d < W; from_d += STEP * one) {
          for (var n = index; n < TILE * STEP; n += X * X * one) {
            let line = n / STEP;
            let i = min(from_d + n % STEP, W - 1u);
            let row = (min(first + line, N - 1u) * H + head) * W + i;
            let column = (min(key + line, run.y - 1u) * KV + head / (H / KV)) * W + i;
            let place = line * PITCH + n % STEP;
            if (turn == 0u) {
              left[place] = widened(q[row]) * SCALE;
              right[place] = widened(k[column]);
            } else {
              left[place] = dout[row];
              right[place] = widened(v[column]);
            }
          }
          workgroupBarrier();
          multiply(&dp, lane, min(STEP, W - from_d));
          workgroupBarrier();
        }
      }
      for (var c = 0u; c < 4u; c++) {
        let s = key + lane.x + c * X;
        let seen = (vec4u(s) >= lo) & (vec4u(s) < min(hi, run.yyyy));
        let z = capped(score[c]);
        let ds = select(vec4f(), exp(z - lse) * (dp[c] - delta) * slope(z), seen);
        weights[(lane.x + c * X) * X + lane.y] = ds;
      }
      workgroupBarrier();

      let keys = min(TILE, run.y - key);
      for (var n = 0u; n < keys; n++) {
        let ds = weights[n * X + lane.y];
        let from_key = ((key + n) * KV + head / (H / KV)) * W;
        for (var j = 0u; j < ACROSS; j++) {
          let other = widened(k[from_key + min(lane.x + j * X, W - 1u)]);
          for (var r = 0u; r < 4u; r++) { sum[4u * j + r] += ds[r] * other; }
        }
      }
    }
  }
  for (var j = 0u; j < ACROSS; j++) {
    let i = lane.x + j * X;
    for (var r = 0u; r < 4u; r++) {
      let row = first + lane.y + r * X;
      if (row < N && i < W) { dq[(row * H + head) * W + i] = sum[4u * j + r] * SCALE; }
    }
  }
}
