// widen_bf16: the two bf16 numbers of a word, the lower half first; they are the upper halves of f32

fn widen(word: u32) -> vec2f { return bitcast<vec2f>(vec2u(word << 16u, word & 0xffff0000u)); }
