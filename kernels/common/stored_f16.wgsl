// stored_f16: kernels written with Stored, widened and narrowed keep activations in f16, where Vec is vec4f

alias Stored = vec2u;

fn widened(s: Stored) -> Vec { return from_half(s); }

fn narrowed(v: Vec) -> Stored { return to_half(v); }
