// attention_backward, for keys and values: with z[t] = cap(SCALE · q[t]·k), p[t] = exp(z[t] - lse[t]) and
// ds[t] = p[t]·(do[t]·v - delta[t])·cap'[t], summed over the H / KV query heads that share the key's head:
//   dk[s] = SCALE · sum over t in [lo[s], hi[s]) of ds[t] · q[t]
//   dv[s] =         sum over t in [lo[s], hi[s]) of p[t] · do[t]
//   dout   Vec[T, H, D]       read
//   q      Stored[T, H, D]    read
//   k      Stored[S, KV, D]   read
//   v      Stored[S, KV, D]   read
//   stats  f32[T, H, 2]       read         (lse, delta) of delta.wgsl
//   spans  u32[S, 2]          read         (lo, hi): the rows that see key s
//   dk     Vec[S, KV, D]      read_write   also the running sum
//   dv     Vec[S, KV, D]      read_write   also the running sum
//   launch one subgroup of 8 lanes for 8 keys of one head; 8 rows at a time: each lane loads its
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
@group(0) @binding(6) var<storage, read_write> dk: array<Vec>;
@group(0) @binding(7) var<storage, read_write> dv: array<Vec>;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let wide = W * groups.z; // W; as a number no compiler can know, so that loops over it stay loops
  let N = arrayLength(&spans);
  let first = group.x * TILE;
  let key = min(first + lane, N - 1u); // lanes past the end do the last key's work and keep it
  let mine = first + lane < N;
  let at = (key * KV + group.y) * W;
  let span = spans[key];

  if (mine) {
    for (var i = 0u; i < wide; i++) {
      dk[at + i] = Vec();
      dv[at + i] = Vec();
    }
  }
  for (var head = group.y * (H / KV); head < (group.y + 1u) * (H / KV); head++) {
    for (var run = next_run(first, 0u); run.x != NONE; run = next_run(first, run.y)) {
      for (var row = run.x; row < run.y; row += 8u) {
        let own_row = min(row + lane, run.y - 1u) * H + head;
        let from_row = own_row * W;
        var near = vec4f();
        var far = vec4f();
        var near_ds = vec4f();
        var far_ds = vec4f();
        for (var i = 0u; i < wide; i++) {
          multiply(widened(k[at + i]) * SCALE, widened(q[from_row + i]), &near, &far);
          multiply(widened(v[at + i]), dout[from_row + i], &near_ds, &far_ds);
        }
        let stat = stats[own_row];
        var near_lse = vec4f();
        var far_lse = vec4f();
        var near_delta = vec4f();
        var far_delta = vec4f();
        collect(stat.x, &near_lse, &far_lse);
        collect(stat.y, &near_delta, &far_delta);
        let end = min(span.y, run.y);
        let near_seen = seen(row, span.x, end);
        let far_seen = seen(row + 4u, span.x, end);
        let near_z = capped(near);
        let far_z = capped(far);
        near = select(vec4f(), exp(near_z - near_lse), near_seen);
        far = select(vec4f(), exp(far_z - far_lse), far_seen);
        near_ds = select(vec4f(), SCALE * near * (near_ds - near_delta) * slope(near_z), near_seen);
        far_ds = select(vec4f(), SCALE * far * (far_ds - far_delta) * slope(far_z), far_seen);
        for (var i = 0u; i < wide; i++) {
          let key_part = combine(near_ds, far_ds, widened(q[from_row + i]));
          let value_part = combine(near, far, dout[from_row + i]);
          if (mine) {
            dk[at + i] += key_part;
            dv[at + i] += value_part;
          }
        }
      }
    }
  }
}
