// rope: rotates the pair (x[i], x[i + R/2]) of the first R numbers of each head by the angle of its
// position p = positions[t]; the rest of the head is copied. With S = 1, or -1 for the inverse:
//   y[i]       = x[i]·cos[p, i] - S·x[i + R/2]·sin[p, i]        i < R/2
//   y[i + R/2] = x[i + R/2]·cos[p, i] + S·x[i]·sin[p, i]
//   x          Stored[T, H, D]   read
//   positions  u32[T]            read    rows of the tables
//   cosine     Vec[P, R/2]       read
//   sine       Vec[P, R/2]       read
//   y          Stored[T, H, D]   write
//   launch one lane a pair or a copied number, 64 lanes a workgroup, grid in x and y; f32
//   Vec is vec4f where D and R/2 are multiples of 4, else f32; D, HALF (R/2) and N count Vecs

override N: u32;
override H: u32;
override D: u32;
override HALF: u32;
override S: f32;

@group(0) @binding(0) var<storage, read> x: array<Stored>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> cosine: array<Vec>;
@group(0) @binding(3) var<storage, read> sine: array<Vec>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = (group.y * groups.x + group.x) * 64u + lane;
  if (n >= N) { return; }
  let units = D - HALF; // of one head: HALF pairs, then what is copied
  let head = n / units;
  let i = n % units;
  if (i >= HALF) {
    let at = head * D + i + HALF;
    y[at] = x[at];
    return;
  }
  let at = head * D + i;
  let angle = positions[head / H] * HALF + i;
  let a = widened(x[at]);
  let b = widened(x[at + HALF]);
  let c = cosine[angle];
  let s = S * sine[angle];
  y[at] = narrowed(a * c - b * s);
  y[at + HALF] = narrowed(b * c + a * s);
}
