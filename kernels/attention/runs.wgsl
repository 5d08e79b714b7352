// The items that a workgroup's rows see, as runs: the kernel's `spans` holds [lo, hi) for each of its
// rows, of which this workgroup has `first` to `first + TILE - 1`. Uniform over the workgroup.

const NONE = 0xffffffffu;

/// The first run [x, y) at or after item `from`: x is seen by some row, y is the end of the longest
/// span around x. x is NONE when no row sees anything there.
fn next_run(first: u32, from_item: u32) -> vec2u {
  var run = vec2u(NONE, NONE);
  let end = min(first + TILE, arrayLength(&spans));
  for (var row = first; row < end; row++) {
    let span = spans[row];
    let start = max(span.x, from_item);
    if (start < span.y) {
      if (start < run.x) {
        run = vec2u(start, span.y);
      } else if (start == run.x) {
        run.y = max(run.y, span.y);
      }
    }
  }
  return run;
}
