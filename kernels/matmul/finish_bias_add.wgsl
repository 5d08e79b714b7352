// finish_bias_add: y = alpha sum + bias + addend
//   bias     f32[N]      read
//   addend   f32[M, N]   read

@group(0) @binding(4) var<storage, read> bias: array<Cell>;
@group(0) @binding(5) var<storage, read> addend: array<Cell>;

fn finish(sum: Cell, at: u32, col: u32) -> Cell { return size.alpha * sum + bias[col] + addend[at]; }
