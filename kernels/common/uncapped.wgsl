// uncapped: a score as it is, where capped.wgsl would bound it

const CAPPED = false;

fn capped(s: Scores) -> Scores { return s; }
fn slope(c: Scores) -> Scores { return Scores(1.0); }
