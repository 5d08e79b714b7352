// whole_block: no low-rank product comes before the other

fn block_at(col: u32, k: u32) -> mat4x4f { return right_block(col, k); }
