// begin: sums start at zero

fn begin(
  upper: ptr<function, array<vec4f, 8>>,
  lower: ptr<function, array<vec4f, 8>>,
  row: u32,
  col: u32,
  lane: u32,
) {}
