// wide_columns_nf4: 4x4 blocks of the right operand where it is stored [K, COLS]; column j of a block is k + j
//   b   u32   read   tiles of 4 rows and 8 columns, then scales of 4 rows

@group(0) @binding(1) var<storage, read> b: array<vec4u>;

fn right_block(col: u32, k: u32) -> mat4x4f {
  let c = min(col, size.cols - 4u);
  let words = b[k / 4u * (size.cols / 8u) + c / 8u] >> vec4u(c % 8u * 4u);
  let scale = bitcast<vec4f>(b[size.cols * size.depth / 32u + k / 4u * (size.cols / 64u) + c / 64u]);
  let shifts = vec4u(4u, 0u, 12u, 8u);
  return mat4x4f(
    nf4_values(vec4u(words.x) >> shifts) * scale.x,
    nf4_values(vec4u(words.y) >> shifts) * scale.y,
    nf4_values(vec4u(words.z) >> shifts) * scale.z,
    nf4_values(vec4u(words.w) >> shifts) * scale.w,
  );
}
