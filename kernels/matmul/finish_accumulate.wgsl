// finish_accumulate: y += alpha sum

fn finish(sum: Cell, at: u32, col: u32) -> Cell { return y[at] + size.alpha * sum; }
