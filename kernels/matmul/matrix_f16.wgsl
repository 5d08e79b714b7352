// matrix_f16: slices hold the operands in f16, scaled by powers of two so that the largest number so far of the
// tile's rows (columns) is just inside the range of f16, for matrix_tile
//   When a larger one comes, the sums are scaled down to the new exponents. Powers of two are exact, so that
//   nothing is lost but what f16 rounds away: 11 bits are kept of all within 2^-29 of the largest, whose
//   products fit in f32 by far. What is not finite counts for no exponent and stays what it is.

enable f16;

alias Elem = f16;

const LEAST = -100; // exponent of what is as good as zero
const HIGH = 14; // exponent of the largest number in f16: 2^15 <= 65504

var<workgroup> left_peak: atomic<u32>;
var<workgroup> right_peak: atomic<u32>;
var<private> left_exponent: i32 = LEAST;
var<private> right_exponent: i32 = LEAST;

fn peak_of(v: vec4f, before: u32) -> u32 {
  let bits = bitcast<vec4u>(v) & vec4u(0x7fffffffu);
  let finite = select(vec4u(), bits, bits < vec4u(0x7f800000u));
  return max(max(max(finite.x, finite.y), max(finite.z, finite.w)), before);
}

fn peak_of_left(cells: ptr<function, LeftCells>) -> u32 {
  var peak = 0u;
  for (var i = 0u; i < LEFT_CELLS_A_LANE; i++) { peak = peak_of((*cells)[i], peak); }
  return peak;
}

fn peak_of_right(cells: ptr<function, RightCells>) -> u32 {
  var peak = 0u;
  for (var i = 0u; i < RIGHT_CELLS_A_LANE; i++) { peak = peak_of((*cells)[i], peak); }
  return peak;
}

// The largest is the same in whatever order the lanes come.
fn offer(left: u32, right: u32) {
  atomicMax(&left_peak, left);
  atomicMax(&right_peak, right);
}

fn exponent(peak: u32) -> i32 { return max(i32(peak >> 23u) - 127, LEAST); }
fn power(e: i32) -> f32 { return bitcast<f32>(u32(e + 127) << 23u); } // e from -126 to 127

// Takes the exponents of all that was offered; what the sums so far must be multiplied with.
fn agree() -> f32 {
  let before = left_exponent + right_exponent;
  left_exponent = exponent(atomicLoad(&left_peak));
  right_exponent = exponent(atomicLoad(&right_peak));
  return power(max(before - left_exponent - right_exponent, -126));
}

fn left_scaled(v: vec4f) -> vec4<Elem> { return vec4<Elem>(v * power(HIGH - left_exponent)); }
fn right_scaled(v: vec4f) -> vec4<Elem> { return vec4<Elem>(v * power(HIGH - right_exponent)); }

// In two steps of one direction: the power alone may be outside of f32.
fn restored(v: vec4f) -> vec4f {
  let e = left_exponent + right_exponent - 2 * HIGH;
  return v * power(e / 2) * power(e - e / 2);
}
