// finish_low_bias: y = alpha sum + bias, where low-rank factors are bound too
//   bias   f32[N]   read

@group(0) @binding(6) var<storage, read> bias: array<Cell>;

fn finish(sum: Cell, at: u32, col: u32) -> Cell { return size.alpha * sum + bias[col]; }
