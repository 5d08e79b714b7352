// held_rows: 8 rows of the left operand, stored [ROWS, K]; lane i holds (row + i, k … k + 3)

enable subgroups;

fn left_height() -> u32 { return size.rows; }
fn left_width() -> u32 { return size.depth; }

fn held(row: u32, k: u32, lane: u32) -> vec4f { return left(min(row + lane, size.rows - 1u), k); }

// sums[i] += held (row + i, k) times right (k, columns of this lane), for 4 k
fn spread(sums: ptr<function, array<vec4f, 8>>, mine: vec4f, right4: mat4x4f) {
  for (var k = 0u; k < 4u; k++) {
    let v = mine[k];
    let w = right4[k];
    (*sums)[0] += subgroupBroadcast(v, 0u) * w;
    (*sums)[1] += subgroupBroadcast(v, 1u) * w;
    (*sums)[2] += subgroupBroadcast(v, 2u) * w;
    (*sums)[3] += subgroupBroadcast(v, 3u) * w;
    (*sums)[4] += subgroupBroadcast(v, 4u) * w;
    (*sums)[5] += subgroupBroadcast(v, 5u) * w;
    (*sums)[6] += subgroupBroadcast(v, 6u) * w;
    (*sums)[7] += subgroupBroadcast(v, 7u) * w;
  }
}
