// low_block_at: 4x4 blocks of up, then of the right operand

fn block_at(col: u32, k: u32) -> mat4x4f {
  if (k < low_span()) { return low_block(col, k); }
  return right_block(col, k - low_span());
}
