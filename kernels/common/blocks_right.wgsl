// blocks_right: four neighbours of a matrix of GGUF blocks, [RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   u32   read   planes of words, four rows side by side (src/formats/gguf_planes.ts)
//   RIGHT_WIDTH is whole blocks, c a multiple of 4; the caller stays inside. Every product that makes a
//   value is exact in f32, so that fused or not it is the value that llama.cpp's converter means.

@group(0) @binding(1) var<storage, read> b: array<vec4u>;

struct Scales {
  unit: vec4f, // of four rows: value = unit · code - least
  least: vec4f,
}

fn groups() -> u32 { return (right_height() + 3u) / 4u; }

fn right(r: u32, c: u32) -> vec4f {
  let own = scales(r / 4u, c);
  return row_codes(r, c) * own.unit[r % 4u] - own.least[r % 4u];
}
