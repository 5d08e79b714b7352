// blocks_zero_0: the code that stands for 0

const ZERO = 0.0;
