// low_vec4: four neighbours of the low-rank factors
//   low   f32[ROWS, LOW]               read
//   up    f32[LOW_HEIGHT, LOW_WIDTH]   read   LOW, LOW_WIDTH and c are multiples of 4; the caller stays inside

@group(0) @binding(4) var<storage, read> low: array<vec4f>;
@group(0) @binding(5) var<storage, read> up: array<vec4f>;

fn low_left(r: u32, k: u32) -> vec4f { return low[(r * size.low + k) / 4u]; }
fn low_right(r: u32, c: u32) -> vec4f { return up[(r * low_width() + c) / 4u]; }
