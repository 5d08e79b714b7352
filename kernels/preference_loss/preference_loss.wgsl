// preference_loss: L = sum over p of weights[p] · l_p, its derivative, and what is logged beside it, with
//   c = -nll[2p] - logps[2p], r = -nll[2p + 1] - logps[2p + 1] of pair p, and l the part linked in
//   nll        f32[2P, 1]    read    minus log-probability of each answer by the policy: chosen, rejected, …
//   logps      f32[2P]       read    their log-probabilities by the reference
//   bounds     u32[2P + 1]   read    where the tokens of each answer begin: their differences are lengths
//   weights    f32[P]        read    what a pair counts, 0 for none
//   numbers    u32[2]        read    (beta, smoothing), f32
//   loss       f32[1]        write
//   dnll       f32[2P, 1]    write   dL / dnll
//   measures   f32[7]        write   sums with the same weights: loss, rewards β·c and β·r, whether c > r,
//                                    β·(c - r), log-probabilities of the chosen and of the rejected
//   launch one workgroup of LANES lanes; lane i adds p = i, i + LANES, … in order, then a tree; f32

struct Numbers { beta: f32, smoothing: f32 }
struct Pair { c: f32, r: f32, chosen: f32, rejected: f32 }

@group(0) @binding(0) var<storage, read> nll: array<f32>;
@group(0) @binding(1) var<storage, read> logps: array<f32>;
@group(0) @binding(2) var<storage, read> bounds: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: Numbers;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> dnll: array<f32>;
@group(0) @binding(7) var<storage, read_write> measures: array<f32>;

/// log σ(x), for any x
fn log_sigmoid(x: f32) -> f32 { return min(x, 0f) - log(1f + exp(-abs(x))); }
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1f, x >= 0f) / (1f + e);
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var first = vec4f();
  var second = vec4f();
  for (var p = lane; p < arrayLength(&weights); p += LANES) {
    let w = weights[p];
    let i = 2u * p;
    if (w == 0f) { // no pair: nothing of what stands there may reach a sum
      dnll[i] = 0f;
      dnll[i + 1u] = 0f;
      continue;
    }
    let pair = Pair(
      -nll[i] - logps[i],
      -nll[i + 1u] - logps[i + 1u],
      f32(bounds[i + 1u] - bounds[i]),
      f32(bounds[i + 2u] - bounds[i + 1u]),
    );
    let l = loss_of(pair);
    dnll[i] = -w * l.y;
    dnll[i + 1u] = -w * l.z;
    let beta = numbers.beta;
    let right = select(0f, 1f, pair.c > pair.r);
    first += w * vec4f(l.x, beta * pair.c, beta * pair.r, right);
    second += w * vec4f(beta * (pair.c - pair.r), -nll[i], -nll[i + 1u], 0f);
  }
  let a = workgroup_sum(first, lane);
  let b = workgroup_sum(second, lane);
  if (lane != 0u) { return; }
  loss[0] = a.x;
  for (var i = 0u; i < 4u; i++) { measures[i] = a[i]; }
  for (var i = 0u; i < 3u; i++) { measures[4u + i] = b[i]; }
}
