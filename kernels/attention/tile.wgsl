// Products of a tile of TILE rows (left) with a tile of TILE columns (right), D by D, for a workgroup of
// X by X lanes: lane (x, y) has the rows y, y + X, … and the columns x, x + X, …, four of each.

const X = TILE / 4u;
const STEP = 8u; // Vecs of D staged at a time
const PITCH = STEP + 1u; // keeps neighbouring rows in different memory banks

var<workgroup> left: array<Vec, TILE * PITCH>;
var<workgroup> right: array<Vec, TILE * PITCH>;
var<workgroup> weights: array<vec4f, TILE * X>; // [column, y]: what column gives the four rows of y

/// score[c], a vector over the lane's rows, grows by the products with its column c.
fn multiply(score: ptr<function, array<vec4f, 4>>, lane: vec2u, steps: u32) {
  for (var i = 0u; i < steps; i++) {
    let a = left[lane.y * PITCH + i];
    let b = left[(lane.y + X) * PITCH + i];
    let c = left[(lane.y + 2u * X) * PITCH + i];
    let d = left[(lane.y + 3u * X) * PITCH + i];
    for (var column = 0u; column < 4u; column++) {
      let other = right[(lane.x + column * X) * PITCH + i];
      (*score)[column] += vec4f(product(a, other), product(b, other), product(c, other), product(d, other));
    }
  }
}
