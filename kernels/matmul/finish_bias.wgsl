// finish_bias: y = alpha sum + bias
//   bias   f32[N]   read

override ALPHA: f32;
@group(0) @binding(3) var<storage, read> bias: array<Cell>;

fn finish(sum: Cell, at: u32, col: u32) -> Cell { return ALPHA * sum + bias[col]; }
