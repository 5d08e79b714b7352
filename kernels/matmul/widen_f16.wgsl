// widen_f16: the two f16 numbers of a word, the lower half first

fn widen(word: u32) -> vec2f { return unpack2x16float(word); }
