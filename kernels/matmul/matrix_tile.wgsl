// matrix_tile: a tile of y[r, c] = finish(sum over k of left[r, k] right[k, c]), by subgroups that multiply
// whole matrices; the part of every kernel matrix*, which says what Left, Right and Sum are
//   operands, y   see the parts left_*, matrix_left_*, right_*, matrix_right_*, low*, put_* and finish_*
//   sums in f32. While a slice of both operands, DEPTH deep, is multiplied in workgroup memory, the lanes
//   read the next one into registers.

override M: u32; // rows, columns and depth of one matrix product
override N: u32;
override K: u32;
override DOWN: u32; // matrices of y that a subgroup sums, along the rows
override WIDE: u32; // and along the columns
override SUBGROUPS_DOWN: u32;
override SUBGROUPS_WIDE: u32;
override LANES: u32; // in the workgroup; subgroups beyond the tile's only move data
override DEPTH: u32; // a multiple of K and of 4
override PAD: u32; // numbers, against bank conflicts: 16 bytes

const SUBGROUPS = SUBGROUPS_DOWN * SUBGROUPS_WIDE;
const ACROSS = M * DOWN * SUBGROUPS_DOWN;
const ALONG = N * WIDE * SUBGROUPS_WIDE;
const LEFT_CELLS = ACROSS * DEPTH / 4u;
const RIGHT_CELLS = ALONG * DEPTH / 4u;
const LEFT_CELLS_A_LANE = (LEFT_CELLS + LANES - 1u) / LANES;
const RIGHT_CELLS_A_LANE = (RIGHT_CELLS + LANES - 1u) / LANES;

alias LeftCells = array<vec4f, LEFT_CELLS_A_LANE>;
alias RightCells = array<vec4f, RIGHT_CELLS_A_LANE>;

var<workgroup> lefts: array<Elem, LEFT_SIZE>;
var<workgroup> rights: array<Elem, RIGHT_SIZE>;
var<workgroup> shares: array<f32, SUBGROUPS * M * N>;

fn product(tile: u32, lane: u32, subgroup: u32) {
  let tiles_across = (size.rows + ACROSS - 1u) / ACROSS;
  let tiles_along = (size.cols + ALONG - 1u) / ALONG;
  if (tile >= tiles_across * tiles_along) { return; }
  let row0 = tile / tiles_along * ACROSS;
  let col0 = tile % tiles_along * ALONG;
  let row = subgroup / SUBGROUPS_WIDE * (M * DOWN);
  let col = subgroup % SUBGROUPS_WIDE * (N * WIDE);

  var sums: array<Sum, DOWN * WIDE>;
  for (var i = 0u; i < DOWN * WIDE; i++) { sums[i] = nothing(i); }
  var left4: LeftCells;
  var right4: RightCells;
  take(&left4, &right4, lane, row0, col0, 0u);
  for (var k0 = 0u; k0 < span(); k0 += DEPTH) {
    offer(peak_of_left(&left4), peak_of_right(&right4));
    workgroupBarrier(); // nobody needs the slice before this one any more
    let by = agree();
    if (by != 1.0) {
      for (var i = 0u; i < DOWN * WIDE; i++) { sums[i] = scaled(sums[i], by); }
    }
    lay(&left4, &right4, lane);
    workgroupBarrier();
    take(&left4, &right4, lane, row0, col0, k0 + DEPTH);
    if (subgroup < SUBGROUPS) {
      for (var k = 0u; k < DEPTH; k += K) {
        var b: array<Right, WIDE>;
        for (var j = 0u; j < WIDE; j++) { b[j] = load_right(k, col + j * N); }
        for (var i = 0u; i < DOWN; i++) {
          let a = load_left(row + i * M, k);
          for (var j = 0u; j < WIDE; j++) {
            sums[i * WIDE + j] = multiply_add(a, b[j], sums[i * WIDE + j]);
          }
        }
      }
    }
  }

  for (var i = 0u; i < DOWN * WIDE; i++) {
    if (subgroup < SUBGROUPS) { store(subgroup * (M * N), sums[i]); }
    workgroupBarrier();
    for (var cell = lane; cell < SUBGROUPS * M * N / 4u; cell += LANES) {
      let owner = cell / (M * N / 4u);
      let r = owner / SUBGROUPS_WIDE * (M * DOWN) + i / WIDE * M + cell % (M * N / 4u) / (N / 4u);
      let c = owner % SUBGROUPS_WIDE * (N * WIDE) + i % WIDE * N + cell % (N / 4u) * 4u;
      let sum = vec4f(shares[4u * cell], shares[4u * cell + 1u], shares[4u * cell + 2u], shares[4u * cell + 3u]);
      put(row0 + r, col0 + c, restored(sum));
    }
    workgroupBarrier();
  }
}

// The cells of a slice that this lane moves; zero beyond the operands.
fn take(left4: ptr<function, LeftCells>, right4: ptr<function, RightCells>, lane: u32, row0: u32, col0: u32, k0: u32) {
  for (var i = 0u; i < LEFT_CELLS_A_LANE; i++) { (*left4)[i] = left_cell(lane + i * LANES, row0, k0); }
  for (var i = 0u; i < RIGHT_CELLS_A_LANE; i++) { (*right4)[i] = right_cell(lane + i * LANES, col0, k0); }
}

fn lay(left4: ptr<function, LeftCells>, right4: ptr<function, RightCells>, lane: u32) {
  for (var i = 0u; i < LEFT_CELLS_A_LANE; i++) {
    let cell = lane + i * LANES;
    if (cell < LEFT_CELLS) {
      let v = left_scaled((*left4)[i]);
      for (var j = 0u; j < 4u; j++) { lefts[left_slot(cell) + j] = v[j]; }
    }
  }
  for (var i = 0u; i < RIGHT_CELLS_A_LANE; i++) {
    let cell = lane + i * LANES;
    if (cell < RIGHT_CELLS) {
      let v = right_scaled((*right4)[i]);
      for (var j = 0u; j < 4u; j++) { rights[right_slot(cell) + j] = v[j]; }
    }
  }
}
