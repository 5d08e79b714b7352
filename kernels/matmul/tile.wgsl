// tile: y[r, c] = finish(sum over k of left[r, k] right[k, c])
//   operands, y   see the parts left_*, right_*, low*, put_* and finish_*
//   launch one tile of 8 ROWS_A_LANE x 8 COLS_A_LANE a workgroup of 8 x 8 lanes, grid in x and y
//   sums in f32, one after another over k. Slices of both operands, DEPTH deep, pass through workgroup
//   memory; there a lane reads 4x4 blocks, and uses each value of a block 4 or 8 times.

override ROWS_A_LANE: u32; // 4 or 8
override COLS_A_LANE: u32; // 4 or 8
override DEPTH: u32; // a power of two from 4

const R4 = ROWS_A_LANE / 4u;
const C4 = COLS_A_LANE / 4u;
const ACROSS = 8u * ROWS_A_LANE;
const ALONG = 8u * COLS_A_LANE;

var<workgroup> lefts: array<vec4f, ACROSS * DEPTH / 4u>;
var<workgroup> rights: array<vec4f, ALONG * DEPTH / 4u>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.y * groups.x + group.x;
  let tiles_across = (size.rows + ACROSS - 1u) / ACROSS;
  let tiles_along = (size.cols + ALONG - 1u) / ALONG;
  if (tile >= tiles_across * tiles_along) { return; }
  let row0 = tile / tiles_along * ACROSS;
  let col0 = tile % tiles_along * ALONG;
  let row = lane / 8u * 4u;
  let col = lane % 8u * 4u;

  var sums: array<vec4f, ROWS_A_LANE * C4>;
  for (var k0 = 0u; k0 < span(); k0 += DEPTH) {
    for (var i = lane; i < ACROSS * DEPTH / 4u; i += 64u) { left_fill(i, row0, k0); }
    for (var i = lane; i < ALONG * DEPTH / 4u; i += 64u) { right_fill(i, col0, k0); }
    workgroupBarrier();
    for (var k = 0u; k < min(DEPTH, span() - k0); k += 4u) {
      var right4: array<mat4x4f, C4>;
      for (var c = 0u; c < C4; c++) { right4[c] = right_block(c * 32u + col, k); }
      for (var r = 0u; r < R4; r++) {
        let left4 = left_block(r * 32u + row, k);
        for (var c = 0u; c < C4; c++) {
          for (var i = 0u; i < 4u; i++) {
            sums[(r * 4u + i) * C4 + c] += left4[0][i] * right4[c][0] + left4[1][i] * right4[c][1] +
              left4[2][i] * right4[c][2] + left4[3][i] * right4[c][3];
          }
        }
      }
    }
    workgroupBarrier();
  }
  // groups.z is 1, which compilers do not know: one store in a loop costs less to compile than many.
  for (var at = 0u; at < ROWS_A_LANE * C4 * groups.z; at++) {
    var sum = vec4f();
    for (var i = 0u; i < ROWS_A_LANE * C4; i++) { sum = select(sum, sums[i], i == at); }
    let r = at / C4;
    put(row0 + r / 4u * 32u + row + r % 4u, col0 + at % C4 * 32u + col, sum);
  }
}
