// unprepared: for operands that need nothing made ready before the first block is read

fn prepare(lane: u32) {}
