// workgroup_sum(v, lane): the sum of v over the LANES lanes of a workgroup, given to every lane
//   Sum is f32 or a vector of it; LANES is a multiple of SUBGROUP, the lanes of every subgroup.
//   Subgroups take consecutive lanes: WGSL does not promise it, every adapter does it for
//   workgroups of one dimension, and the tests of every op that sums would show the opposite.

enable subgroups;

override LANES: u32;
override SUBGROUP: u32;

var<workgroup> branches: array<Sum, LANES / SUBGROUP>;

fn workgroup_sum(v: Sum, lane: u32) -> Sum {
  let branch = subgroupAdd(v);
  if (lane % SUBGROUP == 0u) { branches[lane / SUBGROUP] = branch; }
  workgroupBarrier();
  var sum = branches[0];
  for (var i = 1u; i < LANES / SUBGROUP; i++) { sum += branches[i]; }
  workgroupBarrier(); // nobody writes the next sum before everybody has read this one
  return sum;
}
