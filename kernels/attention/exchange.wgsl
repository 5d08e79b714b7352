// For a subgroup of 8 lanes that each hold one item's Vec and one row's: products and sums of every
// row with every item. Items 0 to 3 are `near`, 4 to 7 are `far`.

enable subgroups;

/// Adds this row's products with the eight items.
fn multiply(row: Vec, item: Vec, near: ptr<function, vec4f>, far: ptr<function, vec4f>) {
  *near += vec4f(
    product(row, subgroupBroadcast(item, 0u)),
    product(row, subgroupBroadcast(item, 1u)),
    product(row, subgroupBroadcast(item, 2u)),
    product(row, subgroupBroadcast(item, 3u)),
  );
  *far += vec4f(
    product(row, subgroupBroadcast(item, 4u)),
    product(row, subgroupBroadcast(item, 5u)),
    product(row, subgroupBroadcast(item, 6u)),
    product(row, subgroupBroadcast(item, 7u)),
  );
}

/// The sum of the eight items with this row's weights.
fn combine(near: vec4f, far: vec4f, item: Vec) -> Vec {
  return near.x * subgroupBroadcast(item, 0u) + near.y * subgroupBroadcast(item, 1u) +
    near.z * subgroupBroadcast(item, 2u) + near.w * subgroupBroadcast(item, 3u) +
    far.x * subgroupBroadcast(item, 4u) + far.y * subgroupBroadcast(item, 5u) +
    far.z * subgroupBroadcast(item, 6u) + far.w * subgroupBroadcast(item, 7u);
}

/// One number of each of the eight items.
fn collect(item: f32, near: ptr<function, vec4f>, far: ptr<function, vec4f>) {
  *near = vec4f(
    subgroupBroadcast(item, 0u),
    subgroupBroadcast(item, 1u),
    subgroupBroadcast(item, 2u),
    subgroupBroadcast(item, 3u),
  );
  *far = vec4f(
    subgroupBroadcast(item, 4u),
    subgroupBroadcast(item, 5u),
    subgroupBroadcast(item, 6u),
    subgroupBroadcast(item, 7u),
  );
}

/// Which of `first` to `first + 3` are in [from, end).
fn seen(first: u32, from_item: u32, end: u32) -> vec4<bool> {
  let item = first + vec4u(0u, 1u, 2u, 3u);
  return (item >= vec4u(from_item)) & (item < vec4u(end));
}
