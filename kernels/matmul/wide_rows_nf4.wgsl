// wide_rows_nf4: 4x4 blocks of the right operand where it is stored [COLS, K]; column j of a block is k + j
//   b   u32   read   tiles of 4 rows and 8 columns, then scales of 4 rows

@group(0) @binding(1) var<storage, read> b: array<vec4u>;

fn right_block(col: u32, k: u32) -> mat4x4f {
  let row = min(col / 4u, size.cols / 4u - 1u);
  let words = b[row * (size.depth / 8u) + k / 8u] >> vec4u(k % 8u * 4u);
  let scale = bitcast<vec4f>(b[size.cols * size.depth / 32u + row * (size.depth / 64u) + k / 64u]);
  return mat4x4f(
    nf4_values(words >> vec4u(4u)) * scale,
    nf4_values(words) * scale,
    nf4_values(words >> vec4u(12u)) * scale,
    nf4_values(words >> vec4u(8u)) * scale,
  );
}
