// right_nf4_tiled: four neighbours of the right operand as it is stored, nf4[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   tiles of 4 rows and 8 columns, then scales of 4 rows; c is a multiple of 4, the caller
//                    stays inside

@group(0) @binding(1) var<storage, read> b: array<vec4u>;

fn right(r: u32, c: u32) -> vec4f {
  let word = b[r / 4u * (right_width() / 8u) + c / 8u][r % 4u] >> (c % 8u * 4u);
  let scales = right_height() * right_width() / 32u;
  let scale = b[scales + r / 4u * (right_width() / 64u) + c / 64u][r % 4u];
  return nf4_values(vec4u(word) >> vec4u(4u, 0u, 12u, 8u)) * bitcast<f32>(scale);
}
