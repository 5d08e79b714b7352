// nf4_lanes: the 16 values of a code, held by the lanes of a subgroup of 8 and looked up from lane to lane

enable subgroups;

const nf4_table = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);
var<private> nf4_low: f32;
var<private> nf4_high: f32;
var<private> nf4_lane: u32;

fn prepare(lane: u32) {
  nf4_low = nf4_table[lane];
  nf4_high = nf4_table[8u + lane];
  nf4_lane = lane;
}

fn nf4_values(codes: vec4u) -> vec4f {
  return vec4f(nf4_value(codes.x), nf4_value(codes.y), nf4_value(codes.z), nf4_value(codes.w));
}

fn nf4_value(code: u32) -> f32 {
  let low = subgroupShuffle(nf4_low, code & 7u);
  return select(low, subgroupShuffle(nf4_high, code & 7u), (code & 8u) != 0u);
}
