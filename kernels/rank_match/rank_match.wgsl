// rank_match: matches pairs by rank. With a and b of each pair p that is there, and q the pair whose b has
//   the rank among all b that a of p has among all a:
//   map[2p + k] = 2q + k and inverse the way back; for k = 0 map[2p] = 2p where ANSWERS is 1
//   where ANSWERS is 1: a = -nll[2p] - logps[2p],  b = -nll[2p + 1] - logps[2p + 1]
//   else:               a = nll[2p + 1] - nll[2p], b = logps[2p] - logps[2p + 1]
//   nll      f32[2P, 1]   read    minus log-probability of each answer by the policy: chosen, rejected, …
//   logps    f32[2P]      read    their log-probabilities by the reference
//   weights  f32[P]       read    0 for no pair: it is matched with itself
//   map      u32[2P]      write
//   inverse  u32[2P]      write
//   launch one workgroup of 64 lanes; lane i does p = i, i + 64, …; equal ones rank as they stand

override ANSWERS: u32;

@group(0) @binding(0) var<storage, read> nll: array<f32>;
@group(0) @binding(1) var<storage, read> logps: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> map: array<u32>;
@group(0) @binding(4) var<storage, read_write> inverse: array<u32>;

fn value(p: u32) -> vec2f {
  let i = 2u * p;
  if (ANSWERS == 1u) { return vec2f(-nll[i] - logps[i], -nll[i + 1u] - logps[i + 1u]); }
  return vec2f(nll[i + 1u] - nll[i], logps[i] - logps[i + 1u]);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  let P = arrayLength(&weights);
  // First `inverse` holds, by rank, the pair with that a; `map` the one with that b.
  for (var p = lane; p < P; p += 64u) {
    if (weights[p] == 0f) { continue; }
    let own = value(p);
    var rank = vec2u();
    for (var q = 0u; q < P; q++) {
      if (weights[q] == 0f) { continue; }
      let other = value(q);
      rank += select(vec2u(), vec2u(1u), (other < own) | ((other == own) & vec2<bool>(q < p)));
    }
    inverse[2u * rank.x] = p;
    map[2u * rank.y] = p;
  }
  storageBarrier();
  var count = 0u;
  for (var p = 0u; p < P; p++) { count += select(0u, 1u, weights[p] != 0f); }
  for (var r = lane; r < count; r += 64u) {
    map[2u * inverse[2u * r] + 1u] = 2u * map[2u * r] + 1u;
    inverse[2u * map[2u * r] + 1u] = 2u * inverse[2u * r] + 1u;
  }
  storageBarrier();
  for (var p = lane; p < P; p += 64u) {
    let i = 2u * p;
    if (weights[p] == 0f) {
      map[i + 1u] = i + 1u;
      inverse[i + 1u] = i + 1u;
    }
    map[i] = select(map[i + 1u] - 1u, i, ANSWERS == 1u);
    inverse[i] = select(inverse[i + 1u] - 1u, i, ANSWERS == 1u);
  }
}
