// kto_loss: L = sum over n of rows[n].weight · σ(-t · β(c - kl)), t = 1 for a wanted answer and -1 for another,
//   c = -nll[2n] - logps[2n], kl = max(0, mean over n of (-nll[2n + 1] - logps[2n + 1])) where KL is 1, else 0
//   (Ethayarajh et al. 2024; without kl the unpaired loss of D’Oosterlinck et al. 2024); kl is no variable
//   nll       f32[2N, 1]   read    minus log-probability of each answer, and of another row's to the same prompt
//   logps     f32[2N]      read    their log-probabilities by the reference
//   rows      f32[N, 4]    read    t (0 for no row), weight in L, share among rows of its t, share among all
//   numbers   Numbers      read    see there
//   loss      f32[1]       write
//   dnll      f32[2N, 1]   write   dL / dnll
//   measures  f32[7]       write   L, kl, and by the shares: β·c and log-probability of wanted answers, of
//                                  others, and by how much the first β·c is the larger
//   launch one workgroup of LANES lanes; lane i adds n = i, i + LANES, … in order, then a tree; f32

struct Numbers { beta: f32, zero: u32 }

override KL: u32;

@group(0) @binding(0) var<storage, read> nll: array<f32>;
@group(0) @binding(1) var<storage, read> logps: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<vec4f>;
@group(0) @binding(3) var<storage, read> numbers: Numbers;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dnll: array<f32>;
@group(0) @binding(6) var<storage, read_write> measures: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var far = vec4f();
  for (var n = lane; n < arrayLength(&rows); n += LANES) {
    if (rows[n].x == 0f) { continue; } // no row: nothing of what stands there may reach a sum
    far += vec4f(exact_sum(-nll[2u * n + 1u], -logps[2u * n + 1u]).x, 1f, rows[n].w, 0f);
  }
  let all = workgroup_sum(far, lane);
  let kl = select(0f, max(0f, all.x / max(all.y, 1f)), KL == 1u);
  var wanted = vec4f(); // L, β·c, log-probability
  var other = vec4f();
  for (var n = lane; n < arrayLength(&rows); n += LANES) {
    let row = rows[n];
    dnll[2u * n + 1u] = 0f;
    if (row.x == 0f) {
      dnll[2u * n] = 0f;
      continue;
    }
    let c = exact_sum(-nll[2u * n], -logps[2u * n]);
    let u = numbers.beta * minus(c, vec2f(kl, 0f)).x;
    dnll[2u * n] = row.y * row.x * numbers.beta * sigmoid(u) * sigmoid(-u);
    let l = row.y * sigmoid(-row.x * u);
    let seen = row.z * vec2f(numbers.beta * c.x, -nll[2u * n]);
    if (row.x > 0f) { wanted += vec4f(l, seen, 0f); } else { other += vec4f(l, seen, 0f); }
  }
  let a = workgroup_sum(wanted, lane);
  let b = workgroup_sum(other, lane);
  if (lane != 0u) { return; }
  loss[0] = a.x + b.x;
  measures[0] = a.x + b.x;
  measures[1] = kl * all.z;
  measures[2] = a.y;
  measures[3] = b.y;
  measures[4] = a.y - b.y;
  measures[5] = a.z;
  measures[6] = b.z;
}
