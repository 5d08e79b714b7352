// stored_f32: kernels written with Stored, widened and narrowed keep activations as they compute them

alias Stored = Vec;

fn widened(s: Stored) -> Vec { return s; }

fn narrowed(v: Vec) -> Stored { return v; }
