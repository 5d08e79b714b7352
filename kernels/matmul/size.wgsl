// size: the shape of the product left[rows, depth] · right[depth, cols] and its factor. Read from memory
// and not built into the code, so that one pipeline serves every layer of a model.
//   size   Size   read

struct Size {
  rows: u32,
  cols: u32,
  depth: u32,
  alpha: f32,
  low: u32, // depth of the low-rank product that comes before; 0 without one
  left_stride: u32, // numbers from one row of the left operand to the next, where it is stored by rows
  out_stride: u32, // numbers from one row of y to the next
}
@group(0) @binding(3) var<storage, read> size: Size;
