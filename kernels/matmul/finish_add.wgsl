// finish_add: y = alpha sum + addend
//   addend   f32[M, N]   read

override ALPHA: f32;
@group(0) @binding(3) var<storage, read> addend: array<Cell>;

fn finish(sum: Cell, at: u32, col: u32) -> Cell { return ALPHA * sum + addend[at]; }
