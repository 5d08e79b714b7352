// blocks_zero_16: the code that stands for 0

const ZERO = 16.0;
