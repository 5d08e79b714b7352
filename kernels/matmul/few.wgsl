// few: y[r, c] = finish(sum over k of left[r, k] right[k, c]), for up to 4 rows (generation, one token a time)
//   operands, y   see the parts left_*, right_*, low*, put_* and finish_*
//   launch 16 columns a workgroup: 16 lanes share the sums of 4 columns, grid in x and y
//   sums in f32: a lane takes every 16th block of 4 k, then the 16 sums are added in order

override MOST: u32; // rows, 1 to 4

fn left_height() -> u32 { return size.rows; }
fn left_width() -> u32 { return size.depth; }
fn left_stride() -> u32 { return size.left_stride; }

var<workgroup> parts: array<vec4f, MOST * 64u>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.y * groups.x + group.x;
  if (tile >= (size.cols + 15u) / 16u) { return; }
  let col = tile * 16u + lane / 16u * 4u;

  var sums: array<vec4f, MOST>;
  for (var k = lane % 16u * 4u; k < span(); k += 64u) {
    let right4 = block_at(col, k);
    for (var r = 0u; r < MOST; r++) { sums[r] += right4 * left_at(r, k); }
  }
  for (var r = 0u; r < MOST; r++) { parts[r * 64u + lane] = sums[r]; }
  workgroupBarrier();
  let r = lane % 16u;
  if (r < MOST) {
    var sum = vec4f();
    for (var i = 0u; i < 16u; i++) { sum += parts[r * 64u + lane - r + i]; }
    put(r, col, sum);
  }
}
