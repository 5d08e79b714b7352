// matrix_f32: slices hold the operands as they are, f32, for matrix_tile

alias Elem = f32;

fn peak_of_left(cells: ptr<function, LeftCells>) -> u32 { return 0u; }
fn peak_of_right(cells: ptr<function, RightCells>) -> u32 { return 0u; }
fn offer(left: u32, right: u32) {}
fn agree() -> f32 { return 1.0; }
fn left_scaled(v: vec4f) -> vec4f { return v; }
fn right_scaled(v: vec4f) -> vec4f { return v; }
fn restored(v: vec4f) -> vec4f { return v; }
