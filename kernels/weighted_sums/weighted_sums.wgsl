// weighted_sums: y[k] = sum over s of x[s] · w[s, k] for k = 0, 1, over s with a weight that is not 0
//   x  f32[S]      read
//   w  f32[S, 2]   read
//   y  f32[2]      write
//   launch one workgroup of LANES lanes; lane i adds s = i, i + LANES, … in order, then a tree; f32

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var part = vec2f();
  for (var s = lane; s < arrayLength(&w); s += LANES) {
    // A place that is none may hold anything.
    part += select(vec2f(), x[s] * w[s], w[s] != vec2f());
  }
  let sum = workgroup_sum(part, lane);
  if (lane != 0u) { return; }
  y[0] = sum.x;
  y[1] = sum.y;
}
