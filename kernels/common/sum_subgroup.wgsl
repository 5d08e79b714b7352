// workgroup_sum(v, lane): the sum of v over the LANES lanes of a workgroup, given to every lane
//   Sum is f32 or a vector of it; the workgroup is exactly one subgroup, so nothing has to wait.

enable subgroups;

override LANES: u32;

fn workgroup_sum(v: Sum, lane: u32) -> Sum { return subgroupAdd(v); }
