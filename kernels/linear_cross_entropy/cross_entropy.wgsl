// cross_entropy: for each row s of a chunk of logits z, once they are cap(z), see common/capped.wgsl
//   argmax[s] = the lowest v with the largest z[s, v]
//   nll[s]    = log(sum over v of exp(z[s, v])) - (1 - e) z[s, labels[s]] - e (mean over v of z[s, v]),
//               e = SMOOTHING; 0 where labels[s] is no token
//   means[s]  = mean over v of z[s, v]
//   and where GRADIENT is 1, in place, d nll / d z before the cap:
//   z[s, v]   = (exp(z[s, v]) / sum - (1 - e) [v = labels[s]] - e / V) * f * cap',
//               f = weights[s] where WEIGHTED is 1, else 1; 0 where labels[s] is no token
//   logits   Vec[S, V]   read_write
//   labels   u32[S]      read
//   weights  f32[S]      read
//   nll      f32[S]      write
//   argmax   u32[S]      write
//   means    f32[S]      write
//   launch one workgroup of LANES lanes a row; sums in f32, shifted by the largest logit
//   Vec is four f32 where V is a multiple of 4, else one; V counts Vecs

override V: u32;
override GRADIENT: u32;
override WEIGHTED: u32;
override SMOOTHING: f32;

@group(0) @binding(0) var<storage, read_write> logits: array<Vec>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> nll: array<f32>;
@group(0) @binding(4) var<storage, read_write> argmax: array<u32>;
@group(0) @binding(5) var<storage, read_write> means: array<f32>;

var<workgroup> tops: array<f32, LANES>;
var<workgroup> places: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let s = group.x;
  let row = s * V;
  var top = -0x1.fffffep+127f;
  for (var v = lane; v < V; v += LANES) {
    let z = capped(logits[row + v]);
    if (CAPPED) { logits[row + v] = z; }
    top = max(top, highest(z));
  }
  if (CAPPED) { storageBarrier(); } // lane 0 reads the label's logit of another lane
  tops[lane] = top;
  workgroupBarrier();
  for (var n = LANES / 2u; n > 0u; n /= 2u) {
    if (lane < n) { tops[lane] = max(tops[lane], tops[lane + n]); }
    workgroupBarrier();
  }
  top = tops[0];

  var part = 0.0;
  var mean = 0.0; // of the shifted logits
  var place = V; // of the first Vec that holds the largest
  for (var v = lane; v < V; v += LANES) {
    let z = logits[row + v];
    part += total(exp(z - top));
    mean += total(z - top);
    if (place == V && any(z == Vec(top))) { place = v; }
  }
  let sum = workgroup_sum(part, lane);
  let classes = f32(V * WIDTH);
  mean = workgroup_sum(mean, lane) / classes;
  places[lane] = place;
  workgroupBarrier();
  for (var n = LANES / 2u; n > 0u; n /= 2u) {
    if (lane < n) { places[lane] = min(places[lane], places[lane + n]); }
    workgroupBarrier();
  }
  let label = labels[s];
  let known = label < V * WIDTH;
  if (lane == 0u) {
    place = places[0] % V; // a row of NaN has no largest: its nll says so
    let largest = logits[row + place];
    var i = WIDTH - 1u;
    for (var n = WIDTH; n > 0u; n--) {
      if (element(largest, n - 1u) == top) { i = n - 1u; }
    }
    argmax[s] = place * WIDTH + i;
    means[s] = mean + top;
    var loss = 0.0;
    if (known) {
      let goal = element(logits[row + label / WIDTH], label % WIDTH) - top;
      loss = log(sum) - select(goal, (1f - SMOOTHING) * goal + SMOOTHING * mean, SMOOTHING > 0f);
    }
    nll[s] = loss;
  }
  if (GRADIENT == 0u) { return; }
  storageBarrier(); // what lane 0 reads is read before it is overwritten
  let f = select(0.0, select(1.0, weights[s], WEIGHTED == 1u), known);
  for (var v = lane; v < V; v += LANES) {
    let z = logits[row + v];
    let p = exp(z - top) / sum;
    let soft = (1f - SMOOTHING) * one_hot(label - v * WIDTH) + SMOOTHING / classes;
    logits[row + v] = (p - soft) * f * slope(z);
  }
}
