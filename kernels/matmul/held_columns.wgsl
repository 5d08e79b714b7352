// held_columns: 8 rows of the left operand, stored [K, ROWS]; lane i holds (row + 4 (i / 4) …, k + i % 4)

enable subgroups;

fn left_height() -> u32 { return size.depth; }
fn left_width() -> u32 { return size.rows; }

fn held(row: u32, k: u32, lane: u32) -> vec4f {
  return left(k + lane % 4u, min(row + lane / 4u * 4u, (size.rows - 1u) / 4u * 4u));
}

// sums[i] += held (row + i, k) times right (k, columns of this lane), for 4 k
fn spread(sums: ptr<function, array<vec4f, 8>>, mine: vec4f, right4: mat4x4f) {
  outer(sums, subgroupBroadcast(mine, 0u), subgroupBroadcast(mine, 4u), right4[0]);
  outer(sums, subgroupBroadcast(mine, 1u), subgroupBroadcast(mine, 5u), right4[1]);
  outer(sums, subgroupBroadcast(mine, 2u), subgroupBroadcast(mine, 6u), right4[2]);
  outer(sums, subgroupBroadcast(mine, 3u), subgroupBroadcast(mine, 7u), right4[3]);
}

fn outer(sums: ptr<function, array<vec4f, 8>>, low: vec4f, high: vec4f, w: vec4f) {
  for (var i = 0u; i < 4u; i++) {
    (*sums)[i] += low[i] * w;
    (*sums)[4u + i] += high[i] * w;
  }
}
