// sample: the next token of every request whose cursor is live, drawn from its logits
//   logits  f32[S, V]   read
//   asked   Ask[S]      read         how each request draws
//   cursor  u32[S, 4]   read         (token, its position, tokens still to draw, -); 0 left: not drawn
//   seen    u32[S, ⌈V/32⌉]  read_write   a bit for each token of the request, where it is penalised for that
//   allowed u32[S, ⌈V/32⌉]  read     a bit for each token that may come, where a request is constrained
//   y       u32[S]      write        the token; V where none is drawn
//   size    Size        read
//   launch one workgroup of LANES a request. Kept are the tokens whose key, the bits of the penalised
//   logit in an order that rises with it, is at least a threshold, found 4 bits at a time: how many, or
//   how much probability, is above it. Sums in f32: a lane's share in rising id, then lane by lane.

struct Ask {
  inverse_temperature: f32, // 0 takes the likeliest token, the lowest id on ties
  top_k: f32, // 0 keeps all
  top_p: f32,
  least: f32, // log of min-p, below -1e38 for none
  penalty: f32, // what negative logits of seen tokens are multiplied with
  inverse_penalty: f32, // and positive ones
  seed: vec2u,
  stream: u32,
  start: u32, // position of the request's first drawn token
  constrained: u32, // 1: only tokens that are allowed
  spare: u32,
}

struct Size {
  vocab: u32,
  words: u32, // of a row of seen
}

override LANES: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> asked: array<Ask>;
@group(0) @binding(2) var<storage, read> cursor: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> seen: array<u32>;
@group(0) @binding(4) var<storage, read> allowed: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<u32>;
@group(0) @binding(6) var<storage, read> size: Size;

var<workgroup> best: array<f32, LANES>;
var<workgroup> best_at: array<u32, LANES>;
var<workgroup> shares: array<f32, LANES * 16u>;
var<workgroup> found: vec2f; // what is above the threshold's digit, and the digit
var<workgroup> chosen: vec2u;

// What is not allowed is as unlikely as can be: one token at least is.
fn logit(s: u32, i: u32) -> f32 {
  let word = s * size.words + i / 32u;
  let bit = 1u << (i % 32u);
  if (asked[s].constrained != 0u && (allowed[word] & bit) == 0u) { return -3.4e38; }
  let z = logits[s * size.vocab + i];
  if (asked[s].penalty == 1f || (seen[word] & bit) == 0u) { return z; }
  return z * select(asked[s].penalty, asked[s].inverse_penalty, z > 0f);
}

// Rises with z; -0 and 0 are the same.
fn key_of(z: f32) -> u32 {
  let bits = bitcast<u32>(z + 0f);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn weight(s: u32, z: f32, top: f32) -> f32 { return exp((z - top) * asked[s].inverse_temperature); }

// The largest key such that what is at or above it, of the keys from `floor` on, is at least `wanted`.
fn threshold(s: u32, lane: u32, top: f32, floor: u32, by_weight: bool, wanted: f32) -> u32 {
  var prefix = 0u;
  var above = 0f;
  for (var shift = 28u; ; shift -= 4u) {
    var own = array<f32, 16>();
    for (var i = lane; i < size.vocab; i += LANES) {
      let z = logit(s, i);
      let key = key_of(z);
      // Shifted twice, for a shift by 32 is one by 0.
      if (key >= floor && ((key >> shift) >> 4u) == prefix) {
        own[(key >> shift) & 15u] += select(1f, weight(s, z, top), by_weight);
      }
    }
    workgroupBarrier(); // whoever called may be reading shares still
    for (var digit = 0u; digit < 16u; digit++) { shares[digit * LANES + lane] = own[digit]; }
    workgroupBarrier();
    if (lane < 16u) {
      var sum = 0f;
      for (var i = 0u; i < LANES; i++) { sum += shares[lane * LANES + i]; }
      shares[lane * LANES] = sum;
    }
    workgroupBarrier();
    if (lane == 0u) {
      var digit = 15u;
      var sum = above;
      // The last digit that has anything is taken where rounding leaves the sum short.
      var last = vec2f(above, 0f);
      loop {
        let here = shares[digit * LANES];
        if (here > 0f) {
          last = vec2f(sum, f32(digit));
          if (sum + here >= wanted) { break; }
          sum += here;
        }
        if (digit == 0u) { break; }
        digit -= 1u;
      }
      found = last;
    }
    let result = workgroupUniformLoad(&found);
    above = result.x;
    prefix = (prefix << 4u) | u32(result.y);
    if (shift == 0u) { break; }
  }
  return prefix;
}

fn uniform_number(s: u32) -> f32 {
  let index = cursor[s].y + 1u - asked[s].start;
  let four = philox(asked[s].seed, vec4u(index / 4u, 0u, 0u, asked[s].stream));
  return f32(four[index % 4u] >> 8u) * 5.9604644775390625e-8;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let s = group.x;
  let vocab = size.vocab;
  var high = -3.4e38;
  var high_at = 0xffffffffu;
  for (var i = lane; i < vocab; i += LANES) {
    let z = logit(s, i);
    if (z > high || high_at == 0xffffffffu) {
      high = z;
      high_at = i;
    }
  }
  best[lane] = high;
  best_at[lane] = high_at;
  workgroupBarrier();
  if (lane == 0u) {
    var at = 0u;
    for (var i = 1u; i < LANES; i++) {
      let better = best[i] > best[at] || (best[i] == best[at] && best_at[i] < best_at[at]);
      if (best_at[i] != 0xffffffffu && better) { at = i; }
    }
    chosen = vec2u(best_at[at], bitcast<u32>(best[at]));
  }
  let likeliest = workgroupUniformLoad(&chosen);
  let top = bitcast<f32>(likeliest.y);
  var token = likeliest.x;

  // Uniform, and told so: every lane of the workgroup has the same s.
  if (lane == 0u) { found = vec2f(asked[s].inverse_temperature, f32(min(cursor[s].z, 1u))); }
  let how = workgroupUniformLoad(&found);
  if (how.x > 0f && how.y > 0f) {
    if (lane == 0u) { found = vec2f(asked[s].top_k, asked[s].top_p); }
    let kept = workgroupUniformLoad(&found);
    var floor = 0u;
    if (kept.x > 0f && kept.x < f32(vocab)) { floor = threshold(s, lane, top, 0u, false, kept.x); }
    if (kept.y < 1f) {
      var mass = 0f;
      for (var i = lane; i < vocab; i += LANES) {
        let z = logit(s, i);
        if (key_of(z) >= floor) { mass += weight(s, z, top); }
      }
      floor = threshold(s, lane, top, floor, true, kept.y * total(lane, mass));
    }
    let each = (vocab + LANES - 1u) / LANES;
    let from_id = min(lane * each, vocab);
    let to_id = min(from_id + each, vocab);
    var mass = 0f;
    for (var i = from_id; i < to_id; i++) { mass += kept_weight(s, i, top, floor); }
    let target_mass = uniform_number(s) * total(lane, mass);
    // shares holds the lanes' masses still.
    if (lane == 0u) {
      var sum = 0f;
      var of_lane = 0u;
      var before = 0f;
      for (var i = 0u; i < LANES; i++) {
        if (shares[i] > 0f) {
          of_lane = i;
          before = sum;
          sum += shares[i];
          if (sum > target_mass) { break; }
        }
      }
      chosen = vec2u(of_lane, bitcast<u32>(before));
    }
    let share = workgroupUniformLoad(&chosen);
    if (lane == share.x) {
      var sum = bitcast<f32>(share.y);
      for (var i = from_id; i < to_id; i++) {
        let w = kept_weight(s, i, top, floor);
        if (w > 0f) {
          token = i;
          sum += w;
          if (sum > target_mass) { break; }
        }
      }
      chosen.x = token;
    }
    token = workgroupUniformLoad(&chosen).x;
  }
  if (lane == 0u) {
    let live = cursor[s].z > 0u;
    y[s] = select(vocab, token, live);
    if (live) { seen[s * size.words + token / 32u] |= 1u << (token % 32u); }
  }
}

fn kept_weight(s: u32, i: u32, top: f32, floor: u32) -> f32 {
  let z = logit(s, i);
  let near = (z - top) * asked[s].inverse_temperature;
  return select(0f, exp(near), key_of(z) >= floor && near >= asked[s].least);
}

// The sum over lanes, in their order, given to every lane; shares[0..LANES] hold its parts.
fn total(lane: u32, part: f32) -> f32 {
  workgroupBarrier();
  shares[lane] = part;
  workgroupBarrier();
  var sum = 0f;
  for (var i = 0u; i < LANES; i++) { sum += shares[i]; }
  return sum;
}
