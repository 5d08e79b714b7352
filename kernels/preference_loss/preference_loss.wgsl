// preference_loss: L = sum over p of weights[p] · l_p, its derivative, and what is logged beside it, with
//   c = -nll[2p] - logps[2p], r = -nll[2p + 1] - logps[2p + 1] of pair p, and l the part linked in;
//   where AVERAGE is 1, c and r are divided by the lengths of their answers
//   nll        f32[2P, 1]    read    minus log-probability of each answer by the policy: chosen, rejected, …
//   logps      f32[2P]       read    their log-probabilities by the reference
//   bounds     u32[2P, 2]    read    where the tokens of each answer begin and end
//   weights    f32[P]        read    what a pair counts, 0 for none
//   numbers    Numbers       read    see there
//   loss       f32[1]        write
//   dnll       f32[2P, 1]    write   dL / dnll
//   measures   f32[9]        write   sums with the same weights: loss, rewards β·c and β·r, whether c > r,
//                                    β·(c - r), log-probabilities of the chosen and of the rejected (by the
//                                    token where AVERAGE is 1), and what the loss notes
//   launch one workgroup of LANES lanes; lane i adds p = i, i + LANES, … in order, then a tree; differences
//   of log-probabilities in two f32, all else in one

struct Numbers {
  beta: f32,
  smoothing: f32,
  gamma: f32,
  half_high: f32, // 1 / 2β in two f32
  half_low: f32,
  log_right: f32, // log(1 - smoothing)
  log_wrong: f32, // log(smoothing)
  zero: u32, // see `kept`
}
/// c and r in two f32 each
struct Pair { c: vec2f, r: vec2f, chosen: f32, rejected: f32 }

override AVERAGE: u32;

@group(0) @binding(0) var<storage, read> nll: array<f32>;
@group(0) @binding(1) var<storage, read> logps: array<f32>;
@group(0) @binding(2) var<storage, read> bounds: array<vec2u>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: Numbers;
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> dnll: array<f32>;
@group(0) @binding(7) var<storage, read_write> measures: array<f32>;

/// What a loss has to say of the pair beside its value.
var<private> noted: vec2f;

fn margin(p: Pair) -> f32 { return numbers.beta * minus(p.c, p.r).x; }
fn half() -> vec2f { return vec2f(numbers.half_high, numbers.half_low); }

fn length(i: u32) -> f32 { return f32(bounds[i].y - bounds[i].x); }
fn by_token(x: vec2f, n: f32) -> vec2f {
  if (AVERAGE == 1u) { return over(x, n); }
  return x;
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var first = vec4f();
  var second = vec4f();
  var third = vec4f();
  for (var p = lane; p < arrayLength(&weights); p += LANES) {
    let w = weights[p];
    let i = 2u * p;
    if (w == 0f) { // no pair: nothing of what stands there may reach a sum
      dnll[i] = 0f;
      dnll[i + 1u] = 0f;
      continue;
    }
    let lengths = vec2f(length(i), length(i + 1u));
    let pair = Pair(
      by_token(exact_sum(-nll[i], -logps[i]), lengths.x),
      by_token(exact_sum(-nll[i + 1u], -logps[i + 1u]), lengths.y),
      lengths.x,
      lengths.y,
    );
    noted = vec2f();
    let l = loss_of(pair);
    let per = select(vec2f(1f), lengths, AVERAGE == 1u);
    dnll[i] = -w * l.y / per.x;
    dnll[i + 1u] = -w * l.z / per.y;
    let beta = numbers.beta;
    let right = select(0f, 1f, minus(pair.c, pair.r).x > 0f);
    first += w * vec4f(l.x, beta * pair.c.x, beta * pair.r.x, right);
    second += w * vec4f(margin(pair), -nll[i] / per.x, -nll[i + 1u] / per.y, noted.x);
    third.x += w * noted.y;
  }
  let a = workgroup_sum(first, lane);
  let b = workgroup_sum(second, lane);
  let c = workgroup_sum(third, lane);
  if (lane != 0u) { return; }
  loss[0] = a.x;
  for (var i = 0u; i < 4u; i++) {
    measures[i] = a[i];
    measures[4u + i] = b[i];
  }
  measures[8] = c.x;
}
