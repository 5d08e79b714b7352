// fma: y[i] = Σ over chains c of f[c] after `rounds` times f = f * a + b, from f[c] = x[i] + c
//   x        f32[N]  read        N a multiple of 256
//   pair     f32[2]  read        a and b
//   rounds   u32[1]  read
//   y        f32[N]  write
//   launch one vec4f a lane, 64 lanes a workgroup; each lane keeps its chains in registers, in f32

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> pair: array<f32>;
@group(0) @binding(2) var<storage, read> rounds: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&y)) { return; }
  let a = vec4f(pair[0]);
  let b = vec4f(pair[1]);
  var f0 = x[i];
  var f1 = f0 + 1.0;
  var f2 = f0 + 2.0;
  var f3 = f0 + 3.0;
  let n = rounds[0];
  for (var k = 0u; k < n; k++) {
    f0 = fma(f0, a, b);
    f1 = fma(f1, a, b);
    f2 = fma(f2, a, b);
    f3 = fma(f3, a, b);
  }
  y[i] = (f0 + f1) + (f2 + f3);
}
