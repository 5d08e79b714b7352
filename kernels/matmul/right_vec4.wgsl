// right_vec4: four neighbours of the right operand as it is stored, f32[RIGHT_HEIGHT, RIGHT_WIDTH]
//   b   f32   read   RIGHT_WIDTH and c are multiples of 4; the caller stays inside

@group(0) @binding(1) var<storage, read> b: array<vec4f>;

fn right(r: u32, c: u32) -> vec4f { return b[(r * right_width() + c) / 4u]; }
