// vec4: kernels written with Vec, total and WIDTH read four f32 at a time; for rows of 4n elements

alias Vec = vec4f;
const WIDTH = 4u;

fn total(v: Vec) -> f32 { return (v.x + v.y) + (v.z + v.w); }
