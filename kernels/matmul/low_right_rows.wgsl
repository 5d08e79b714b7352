// low_right_rows: up where it is stored [COLS, LOW], as the right operand is

fn low_height() -> u32 { return size.cols; }
fn low_width() -> u32 { return size.low; }

fn right_at(r: u32, k: u32) -> vec4f {
  if (k < low_span()) { return low_right(r, k); }
  return right(r, k - low_span());
}
