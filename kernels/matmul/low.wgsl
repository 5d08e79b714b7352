// low: y = finish(low[r, j] up[j, c] summed over j, then left[r, k] right[k, c] over k): one loop over both

// The low-rank product's share of the loop, in whole blocks of 4.
fn low_span() -> u32 { return (size.low + 3u) / 4u * 4u; }

fn span() -> u32 { return low_span() + size.depth; }

fn left_at(r: u32, k: u32) -> vec4f {
  if (k < low_span()) { return low_left(r, k); }
  return left(r, k - low_span());
}
