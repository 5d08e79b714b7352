// cross_entropy: for each row s of a chunk of logits z
//   argmax[s] = the lowest v with the largest z[s, v]
//   nll[s]    = log(sum over v of exp(z[s, v])) - z[s, labels[s]], 0 where labels[s] is no token
//   and where GRADIENT is 1, in place, d nll / d z:
//   z[s, v]   = (exp(z[s, v]) / sum - [v = labels[s]]) * f,   f = weights[s] where WEIGHTED is 1, else 1;
//               0 where labels[s] is no token
//   logits   f32[S, V]   read_write
//   labels   u32[S]      read
//   weights  f32[S]      read
//   nll      f32[S]      write
//   argmax   u32[S]      write
//   launch one workgroup of LANES lanes a row; sums in f32, shifted by the largest logit

override V: u32;
override GRADIENT: u32;
override WEIGHTED: u32;

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> nll: array<f32>;
@group(0) @binding(4) var<storage, read_write> argmax: array<u32>;

var<workgroup> tops: array<f32, LANES>;
var<workgroup> places: array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let s = group.x;
  let row = s * V;
  var top = -0x1.fffffep+127f;
  var place = V;
  for (var v = lane; v < V; v += LANES) {
    let z = logits[row + v];
    if (z > top || place == V) {
      top = z;
      place = v;
    }
  }
  tops[lane] = top;
  places[lane] = place;
  workgroupBarrier();
  for (var n = LANES / 2u; n > 0u; n /= 2u) {
    if (lane < n) {
      let z = tops[lane + n];
      let v = places[lane + n];
      if (v < V && (z > tops[lane] || (z == tops[lane] && v < places[lane]))) {
        tops[lane] = z;
        places[lane] = v;
      }
    }
    workgroupBarrier();
  }
  top = tops[0];

  var part = 0.0;
  for (var v = lane; v < V; v += LANES) { part += exp(logits[row + v] - top); }
  let sum = workgroup_sum(part, lane);
  let label = labels[s];
  if (lane == 0u) {
    argmax[s] = places[0];
    var loss = 0.0;
    if (label < V) { loss = log(sum) - (logits[row + label] - top); }
    nll[s] = loss;
  }
  if (GRADIENT == 0u) { return; }
  storageBarrier(); // the label's logit is read before it is overwritten
  var f = select(1.0, weights[s], WEIGHTED == 1u);
  if (label >= V) { f = 0.0; }
  for (var v = lane; v < V; v += LANES) {
    let p = exp(logits[row + v] - top) / sum;
    logits[row + v] = (p - select(0.0, 1.0, v == label)) * f;
  }
}
