// row_vec4: a row of logits as Vecs of four

alias Vec = vec4f;
const WIDTH = 4u;

fn total(v: Vec) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn highest(v: Vec) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn element(v: Vec, i: u32) -> f32 { return v[i]; }
/// One at place i, zero elsewhere; all zero where i is no place.
fn one_hot(i: u32) -> Vec { return select(Vec(), Vec(1f), vec4u(i) == vec4u(0u, 1u, 2u, 3u)); }
