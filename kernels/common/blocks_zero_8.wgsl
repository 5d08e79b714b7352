// blocks_zero_8: the code that stands for 0

const ZERO = 8.0;
