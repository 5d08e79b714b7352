// broadcast: y[r, c] = finish(sum over k of left[r, k] right[k, c]), for subgroups of exactly 8 lanes
//   operands, y   see the parts left_*, held_*, right_*, begin*, put_* and finish_*
//   launch one tile of 8 or 16 x 32 a workgroup of 8 lanes, grid in x and y
//   sums in f32, one after another over k. Written for adapters that load one lane after another: each
//   lane loads four neighbours at once, and the left operand goes from lane to lane through registers.

enable subgroups;

override BLOCKS: u32; // of 8 rows in a tile, 1 or 2

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.y * groups.x + group.x;
  let tiles_across = (size.rows + 8u * BLOCKS - 1u) / (8u * BLOCKS);
  let tiles_along = (size.cols + 31u) / 32u;
  if (tile >= tiles_across * tiles_along) { return; }
  let row = tile / tiles_along * (8u * BLOCKS);
  let col = tile % tiles_along * 32u + lane * 4u;

  prepare(lane);
  var upper: array<vec4f, 8>;
  var lower: array<vec4f, 8>;
  begin(&upper, &lower, row, col, lane);
  for (var k = 0u; k < size.depth; k += 4u) {
    let right4 = right_block(col, k);
    spread(&upper, held(row, k, lane), right4);
    if (BLOCKS == 2u) { spread(&lower, held(row + 8u, k, lane), right4); }
  }
  // The bound is not constant, so that this stays one loop: every store costs compile time.
  for (var r = 0u; r < min(8u * BLOCKS, size.rows - row); r++) {
    var sum = vec4f();
    for (var i = 0u; i < 8u; i++) {
      sum = select(sum, upper[i], r == i);
      if (BLOCKS == 2u) { sum = select(sum, lower[i], r == 8u + i); }
    }
    put(row + r, col, sum);
  }
}
