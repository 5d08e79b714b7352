// workgroup_sum(v, lane): the sum of v over the LANES lanes of a workgroup, given to every lane
//   Sum is f32 or a vector of it; LANES is a power of two and the size of the workgroup.
//   Lane i adds lane i + n for n = LANES/2, LANES/4, … 1: the same order on every adapter.

override LANES: u32;

var<workgroup> branches: array<Sum, LANES>;

fn workgroup_sum(v: Sum, lane: u32) -> Sum {
  branches[lane] = v;
  workgroupBarrier();
  for (var n = LANES / 2u; n > 0u; n /= 2u) {
    if (lane < n) { branches[lane] += branches[lane + n]; }
    workgroupBarrier();
  }
  let sum = branches[0];
  workgroupBarrier(); // nobody writes the next sum before everybody has read this one
  return sum;
}
