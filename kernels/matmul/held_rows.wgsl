// held_rows: 8 rows of the left operand, stored [ROWS, K]; lane i holds (row + i, k … k + 3)

enable subgroups;

fn left_height() -> u32 { return size.rows; }
fn left_width() -> u32 { return size.depth; }
fn left_stride() -> u32 { return size.left_stride; }

fn held(row: u32, k: u32, lane: u32) -> vec4f { return left(min(row + lane, size.rows - 1u), k); }

// sums[i] += held (row + i, k) times right (k, columns of this lane), for 4 k
fn spread(sums: ptr<function, array<vec4f, 8>>, mine: vec4f, right4: mat4x4f) {
  (*sums)[0] += right4 * subgroupBroadcast(mine, 0u);
  (*sums)[1] += right4 * subgroupBroadcast(mine, 1u);
  (*sums)[2] += right4 * subgroupBroadcast(mine, 2u);
  (*sums)[3] += right4 * subgroupBroadcast(mine, 3u);
  (*sums)[4] += right4 * subgroupBroadcast(mine, 4u);
  (*sums)[5] += right4 * subgroupBroadcast(mine, 5u);
  (*sums)[6] += right4 * subgroupBroadcast(mine, 6u);
  (*sums)[7] += right4 * subgroupBroadcast(mine, 7u);
}
