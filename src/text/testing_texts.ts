/** For tests: random Unicode texts, the same for the same seed, in runs of one kind of character. */
export function* randomTexts(count: number, seed: number): Generator<string> {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const ranges = [
    [0x20, 0x7f],
    [0x61, 0x7b],
    [0x61, 0x7b],
    [0, 0x20],
    [0x30, 0x3a],
    [0xa0, 0x250],
    [0x300, 0x370],
    [0x370, 0x600],
    [0x900, 0xe80],
    [0x2000, 0x2c00],
    [0x3000, 0xa000],
    [0xac00, 0xd7a4],
    [0xe000, 0x10000],
    [0x1f300, 0x1fb00],
    [0x10000, 0x110000],
  ] as const;
  for (let i = 0; i < count; i++) {
    let text = "";
    for (let runs = below(8); runs > 0; runs--) {
      const [first, end] = ranges[below(ranges.length)]!;
      for (let n = 1 + below(6); n > 0; n--) {
        text += String.fromCodePoint(first + below(end - first));
      }
      if (below(2) === 0) text += " ".repeat(1 + below(3));
    }
    yield text;
  }
}
