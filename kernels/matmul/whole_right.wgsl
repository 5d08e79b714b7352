// whole_right: no low-rank product comes before the other

fn right_at(r: u32, c: u32) -> vec4f { return right(r, c); }
