// tile: y[r, c] = finish(sum over k of left[r, k] right[k, c])
//   operands, y   see the parts left_*, right_*, put_* and finish_*
//   launch one tile of 8 ROWS_A_LANE x 8 COLS_A_LANE a workgroup of 8 x 8 lanes, grid in x and y
//   sums in f32, one after another over k. Both operands pass through workgroup memory in slices DEPTH
//   deep, k by k, so that a lane reads its rows and columns of one k as vec4; the pad of one vec4 a line
//   keeps neighbouring k in different memory banks.

override ROWS: u32;
override COLS: u32;
override K: u32;
override ROWS_A_LANE: u32; // 4 or 8
override COLS_A_LANE: u32; // 4 or 8
override DEPTH: u32;

const LANES = 64u;
const R4 = ROWS_A_LANE / 4u;
const C4 = COLS_A_LANE / 4u;
const ACROSS = 8u * ROWS_A_LANE;
const ALONG = 8u * COLS_A_LANE;
const LEFT_LINE = ACROSS / 4u + 1u;
const RIGHT_LINE = ALONG / 4u + 1u;
const TILES_ACROSS = (ROWS + ACROSS - 1u) / ACROSS;
const TILES_ALONG = (COLS + ALONG - 1u) / ALONG;

var<workgroup> lefts: array<vec4f, DEPTH * LEFT_LINE>;
var<workgroup> rights: array<vec4f, DEPTH * RIGHT_LINE>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.y * groups.x + group.x;
  if (tile >= TILES_ACROSS * TILES_ALONG) { return; }
  let row0 = tile / TILES_ALONG * ACROSS;
  let col0 = tile % TILES_ALONG * ALONG;
  let x = lane % 8u;
  let y8 = lane / 8u;

  var sums: array<vec4f, ROWS_A_LANE * C4>;
  for (var k0 = 0u; k0 < K; k0 += DEPTH) {
    for (var i = lane; i < ACROSS / 4u * (DEPTH / 4u); i += LANES) {
      let at = left_place(i, ACROSS / 4u, DEPTH / 4u);
      var block = mat4x4f();
      if (k0 + at.y * 4u < K) { block = left_block(row0 + at.x * 4u, k0 + at.y * 4u); }
      for (var j = 0u; j < 4u; j++) { lefts[(at.y * 4u + j) * LEFT_LINE + at.x] = block[j]; }
    }
    for (var i = lane; i < ALONG / 4u * (DEPTH / 4u); i += LANES) {
      let at = right_place(i, ALONG / 4u, DEPTH / 4u);
      var block = mat4x4f();
      if (k0 + at.y * 4u < K) { block = right_block(col0 + at.x * 4u, k0 + at.y * 4u); }
      for (var j = 0u; j < 4u; j++) { rights[(at.y * 4u + j) * RIGHT_LINE + at.x] = block[j]; }
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      var rights4: array<vec4f, C4>;
      for (var c = 0u; c < C4; c++) { rights4[c] = rights[k * RIGHT_LINE + c * 8u + x]; }
      for (var r = 0u; r < R4; r++) {
        let left4 = lefts[k * LEFT_LINE + r * 8u + y8];
        for (var c = 0u; c < C4; c++) {
          sums[(r * 4u) * C4 + c] += left4.x * rights4[c];
          sums[(r * 4u + 1u) * C4 + c] += left4.y * rights4[c];
          sums[(r * 4u + 2u) * C4 + c] += left4.z * rights4[c];
          sums[(r * 4u + 3u) * C4 + c] += left4.w * rights4[c];
        }
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < ROWS_A_LANE; r++) {
    for (var c = 0u; c < C4; c++) {
      put(row0 + (r / 4u * 8u + y8) * 4u + r % 4u, col0 + (c * 8u + x) * 4u, sums[r * C4 + c]);
    }
  }
}
