// adamw: with a = scale * g[i] and hyper = (step, decay, 1 - β1, 1 - β2, ε, √(1 - β2ᵗ), …)
//   m[i] += (1 - β1) * (a - m[i]),   v[i] += (1 - β2) * (a² - v[i])
//   w[i] -= decay * w[i] + step * m[i] / (sqrt(v[i]) / √(1 - β2ᵗ) + ε),   g[i] = 0
//   w      f32[N]   read, write
//   g      f32[N]   read, write   gradient; zero afterwards
//   m      f32[N]   read, write   first moment
//   v      f32[N]   read, write   second moment
//   clip   f32[4]   read          (scale, norm, finite, 0); nothing but g changes where finite is 0
//   hyper  f32[8]   read          see hyper.ts
//   launch one Vec a lane, 64 lanes a workgroup, grid in x and y

@group(0) @binding(0) var<storage, read_write> w: array<Vec>;
@group(0) @binding(1) var<storage, read_write> g: array<Vec>;
@group(0) @binding(2) var<storage, read_write> m: array<Vec>;
@group(0) @binding(3) var<storage, read_write> v: array<Vec>;
@group(0) @binding(4) var<storage, read> clip: vec4f;
@group(0) @binding(5) var<storage, read> hyper: array<vec4f, 2>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= arrayLength(&w)) { return; }
  let now = clip;
  if (now.z == 1.0) {
    let h = hyper[0];
    let k = hyper[1];
    let a = now.x * g[i];
    let mean = m[i] + h.z * (a - m[i]);
    let square = v[i] + h.w * (a * a - v[i]);
    m[i] = mean;
    v[i] = square;
    w[i] -= h.y * w[i] + h.x * mean / (sqrt(square) / k.y + k.x);
  }
  g[i] = Vec();
}
