// held_columns: 8 rows of the left operand, stored [K, ROWS]; lane i holds four rows from 4 (i / 4) at k + i % 4

enable subgroups;

fn left_height() -> u32 { return size.depth; }
fn left_width() -> u32 { return size.rows; }
fn left_stride() -> u32 { return size.rows; }

fn held(row: u32, k: u32, lane: u32) -> vec4f {
  let at = k + lane % 4u;
  let v = left(min(at, size.depth - 1u), min(row + lane / 4u * 4u, (size.rows - 1u) / 4u * 4u));
  return select(vec4f(), v, at < size.depth);
}

// sums[i] += held (row + i, k) times right (k, columns of this lane), for 4 k
fn spread(sums: ptr<function, array<vec4f, 8>>, mine: vec4f, right4: mat4x4f) {
  for (var i = 0u; i < 4u; i++) {
    (*sums)[i] += right4 * lanes0to3(mine[i]);
    (*sums)[4u + i] += right4 * lanes4to7(mine[i]);
  }
}

fn lanes0to3(v: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(v, 0u),
    subgroupBroadcast(v, 1u),
    subgroupBroadcast(v, 2u),
    subgroupBroadcast(v, 3u),
  );
}

fn lanes4to7(v: f32) -> vec4f {
  return vec4f(
    subgroupBroadcast(v, 4u),
    subgroupBroadcast(v, 5u),
    subgroupBroadcast(v, 6u),
    subgroupBroadcast(v, 7u),
  );
}
