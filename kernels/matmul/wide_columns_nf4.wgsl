// wide_columns_nf4: 4x4 blocks of the right operand where it is stored [K, COLS]; column j of a block is k + j
//   the 32 columns of a tile share their scales: each of 8 lanes reads those of 4 k, for 8 blocks to come

enable subgroups;

var<private> ahead: vec4f;

fn right_height() -> u32 { return size.depth; }
fn right_width() -> u32 { return size.cols; }

fn right_block(col: u32, k: u32) -> mat4x4f {
  let c = min(col, size.cols - 4u);
  if (k % 32u == 0u) { ahead = nf4_scales(min(k + 4u * nf4_lane, size.depth - 4u), c); }
  let words = nf4_codes(k, c) >> vec4u(c % 8u * 4u);
  let scale = subgroupShuffle(ahead, k / 4u % 8u);
  let shifts = vec4u(4u, 0u, 12u, 8u);
  return mat4x4f(
    nf4_values(vec4u(words.x) >> shifts) * scale.x,
    nf4_values(vec4u(words.y) >> shifts) * scale.y,
    nf4_values(vec4u(words.z) >> shifts) * scale.z,
    nf4_values(vec4u(words.w) >> shifts) * scale.w,
  );
}
