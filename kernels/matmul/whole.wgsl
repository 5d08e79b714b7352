// whole: no low-rank product comes before the other

fn span() -> u32 { return size.depth; }
fn left_at(r: u32, k: u32) -> vec4f { return left(r, k); }
