// matrix_emulated: what matrix computes, where there are no matrix units: a subgroup is WIDTH lanes in a row
//   operands, y   as in matrix
//   launch as matrix
//   sums in f32, one after another over k. A test of all of matrix but its few lines for the hardware.

override WIDTH: u32; // a divisor of M N

alias Left = u32; // where in its slice it begins
alias Right = u32;
alias Sum = u32; // where in held

const SHARE = M * N / WIDTH;
var<private> held: array<f32, DOWN * WIDE * SHARE>;
var<private> member: u32;
var<private> one: u32; // groups.z, which compilers do not know: loops stay loops, which costs less to compile

fn nothing(i: u32) -> Sum { return i * SHARE; }
fn load_left(r: u32, k: u32) -> Left { return left_place(r, k); }
fn load_right(k: u32, c: u32) -> Right { return right_place(k, c); }

fn multiply_add(a: Left, b: Right, sum: Sum) -> Sum {
  for (var i = 0u; i < SHARE * one; i++) {
    let r = (i * WIDTH + member) / N;
    let c = (i * WIDTH + member) % N;
    for (var k = 0u; k < K * one; k++) {
      held[sum + i] += f32(lefts[a + left_place(r, k)]) * f32(rights[b + right_place(k, c)]);
    }
  }
  return sum;
}

fn scaled(sum: Sum, by: f32) -> Sum {
  for (var i = 0u; i < SHARE * one; i++) { held[sum + i] *= by; }
  return sum;
}

fn store(at: u32, sum: Sum) {
  for (var i = 0u; i < SHARE * one; i++) { shares[at + i * WIDTH + member] = held[sum + i]; }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  one = groups.z;
  member = lane % WIDTH;
  product(group.y * groups.x + group.x, lane, lane / WIDTH);
}
