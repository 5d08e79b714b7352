// low_right_columns: up where it is stored [LOW, COLS], as the right operand is

fn low_height() -> u32 { return size.low; }
fn low_width() -> u32 { return size.cols; }

fn right_at(k: u32, c: u32) -> vec4f {
  if (k < low_span()) { return low_right(k, c); }
  return right(k - low_span(), c);
}
