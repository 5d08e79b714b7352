// left_half_vec4: four neighbours of the left operand as it is stored, f16[LEFT_HEIGHT, LEFT_WIDTH], rows LEFT_STRIDE apart
//   a  u32   read   two numbers a word; LEFT_WIDTH, LEFT_STRIDE and c are multiples of 4; the caller stays inside

@group(0) @binding(0) var<storage, read> a: array<vec2u>;

fn left(r: u32, c: u32) -> vec4f { return from_half(a[(r * left_stride() + c) / 4u]); }
