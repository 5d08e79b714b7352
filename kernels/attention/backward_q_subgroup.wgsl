// attention_backward, for queries: with z[s] = cap(SCALE · q·k[s]), p[s] = exp(z[s] - lse) and
// ds[s] = p[s]·(do·v[s] - delta)·cap'[s]:
//   dq[t, h] = SCALE · sum over s in [lo[t], hi[t]) of ds[s] · k[s, g],   g = h / (H / KV)
//   dout   Vec[T, H, D]       read
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read
//   v      Stored[S, KV, D]   read
//   stats  f32[T, H, 2]       read         (lse, delta) of delta.wgsl
//   spans  u32[T, 2]          read         (lo, hi)
//   dq     Vec[T, H, D]       read_write   also the running sum
//   launch one subgroup of 8 lanes for 8 rows of one head; 8 keys at a time: each lane loads its
//   own and gives it to the others, for adapters where a load costs more than a product; f32
//   Vec is vec4f where D is a multiple of 4, else f32; W = D in Vecs; Stored holds a Vec

enable subgroups;

override H: u32;
override KV: u32;
override W: u32;
override SCALE: f32;

const TILE = 8u;

@group(0) @binding(0) var<storage, read> dout: array<Vec>;
@group(0) @binding(1) var<storage, read> q: array<Stored>;
@group(0) @binding(2) var<storage, read> k: array<Stored>;
@group(0) @binding(3) var<storage, read> v: array<Stored>;
@group(0) @binding(4) var<storage, read> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read> spans: array<vec2u>;
@group(0) @binding(6) var<storage, read_write> dq: array<Vec>;

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
  let stat = stats[row * H + group.y];

  if (mine) {
    for (var i = 0u; i < wide; i++) { dq[at + i] = Vec(); }
  }
  for (var run = next_run(first, 0u); run.x != NONE; run = next_run(first, run.y)) {
    for (var key = run.x; key < run.y; key += 8u) {
      let from_key = (min(key + lane, run.y - 1u) * KV + group.y / (H / KV)) * W;
      var near = vec4f();
      var far = vec4f();
      var near_dp = vec4f();
      var far_dp = vec4f();
      for (var i = 0u; i < wide; i++) {
        multiply(widened(q[at + i]) * SCALE, widened(k[from_key + i]), &near, &far);
        multiply(dout[at + i], widened(v[from_key + i]), &near_dp, &far_dp);
      }
      let end = min(span.y, run.y);
      near = capped(near);
      far = capped(far);
      near = SCALE * exp(near - stat.x) * (near_dp - stat.y) * slope(near);
      far = SCALE * exp(far - stat.x) * (far_dp - stat.y) * slope(far);
      near = select(vec4f(), near, seen(key, span.x, end));
      far = select(vec4f(), far, seen(key + 4u, span.x, end));
      for (var i = 0u; i < wide; i++) {
        let part = combine(near, far, widened(k[from_key + i]));
        if (mine) { dq[at + i] += part; }
      }
    }
  }
}
