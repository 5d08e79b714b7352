// matrix: y[r, c] = finish(sum over k of left[r, k] right[k, c]), by the matrix units of a GPU
//   operands, y   see the parts left_*, matrix_left_*, right_*, matrix_right_*, put_* and finish_*
//   launch one tile of ACROSS x ALONG a workgroup of LANES, grid in x and y; LANES is a multiple of the largest
//   subgroup, so that there are SUBGROUPS of them whatever size the driver takes
//   sums in f32; products of f32 or, scaled by powers of two, of f16

enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity); // a subgroup is in or out as a whole

alias Left = subgroup_matrix_left<Elem, K, M>;
alias Right = subgroup_matrix_right<Elem, N, K>;
alias Sum = subgroup_matrix_result<f32, N, M>;

fn load_left(r: u32, k: u32) -> Left {
  if (LEFT_COLUMNS) { return subgroupMatrixLoad<Left, col_major>(&lefts, left_place(r, k), LEFT_STRIDE); }
  return subgroupMatrixLoad<Left, row_major>(&lefts, left_place(r, k), LEFT_STRIDE);
}

fn load_right(k: u32, c: u32) -> Right {
  if (RIGHT_COLUMNS) { return subgroupMatrixLoad<Right, row_major>(&rights, right_place(k, c), RIGHT_STRIDE); }
  return subgroupMatrixLoad<Right, col_major>(&rights, right_place(k, c), RIGHT_STRIDE);
}

fn nothing(i: u32) -> Sum { return Sum(); }
fn multiply_add(a: Left, b: Right, sum: Sum) -> Sum { return subgroupMatrixMultiplyAccumulate(a, b, sum); }
fn scaled(sum: Sum, by: f32) -> Sum { return subgroupMatrixScalarMultiply(sum, by); }
fn store(at: u32, sum: Sum) { subgroupMatrixStore<row_major>(&shares, at, sum, N); }

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  product(group.y * groups.x + group.x, lane, subgroup);
}
