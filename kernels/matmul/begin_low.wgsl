// begin_low: sums start with low[r, j] up[j, c] summed over j. A loop of its own: on a CPU's adapter one
// loop over both products, which asks each turn where it is, costs a fifth more.

fn begin(
  upper: ptr<function, array<vec4f, 8>>,
  lower: ptr<function, array<vec4f, 8>>,
  row: u32,
  col: u32,
  lane: u32,
) {
  for (var k = 0u; k < size.low; k += 4u) {
    let right4 = low_block(col, k);
    spread(upper, low_left(min(row + lane, size.rows - 1u), k), right4);
    if (BLOCKS == 2u) { spread(lower, low_left(min(row + 8u + lane, size.rows - 1u), k), right4); }
  }
}
