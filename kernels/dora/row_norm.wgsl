// row_norm: norm[n] = length of row n of W + s · B · A
//           = sqrt(|W_n|² + 2 s · B_n · P_n + s² · B_n · G · B_nᵀ)
//   W comes from a part that defines right(row, column); rows of it from size.first on are bound
//   norm   f32[N]      write
//   up     f32[N, R]   read     B
//   cross  f32[R, N]   read     P = A · Wᵀ
//   gram   f32[R, R]   read     G = A · Aᵀ
//   size   Size        read
//   launch one workgroup of LANES lanes a row, grid in x and y; sums in f32

struct Size {
  rows: u32, // of W, as bound
  width: u32,
  first: u32, // which row of the whole the first bound one is
  all: u32, // N
  rank: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read_write> norm: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read> cross: array<f32>;
@group(0) @binding(4) var<storage, read> gram: array<f32>;
@group(0) @binding(5) var<storage, read> size: Size;

fn right_height() -> u32 { return size.rows; }
fn right_width() -> u32 { return size.width; }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  if (r >= size.rows) { return; }
  let n = size.first + r;
  var part = 0.0;
  for (var c = 4u * lane; c < size.width; c += 4u * LANES) {
    let w = right(r, c);
    part += dot(w, w);
  }
  for (var q = lane; q < size.rank; q += LANES) {
    var along = 0.0;
    for (var p = 0u; p < size.rank; p++) { along += gram[q * size.rank + p] * up[n * size.rank + p]; }
    let both = 2.0 * cross[q * size.all + n] + size.scale * along;
    part += size.scale * up[n * size.rank + q] * both;
  }
  let sum = workgroup_sum(part, lane);
  if (lane == 0u) { norm[n] = sqrt(max(sum, 0.0)); }
}
