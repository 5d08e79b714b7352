// vec1: kernels written with Vec, total and WIDTH read one f32 at a time; for rows of any length

alias Vec = f32;
const WIDTH = 1u;

fn total(v: Vec) -> f32 { return v; }
