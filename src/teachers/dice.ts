/**
 * Random choices that depend only on a seed and the keys given with it, never on what was drawn
 * before elsewhere: row 17 is the same row whether or not row 16 was made.
 */
export interface Dice {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [low, high]. */
  int(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
  /** A shuffled copy. */
  shuffle<T>(list: readonly T[]): T[];
}

/** Dice for (seed, key, key, …): a counter hashed with the keys (the finaliser of MurmurHash3). */
export function dice(seed: number, ...keys: readonly (number | string)[]): Dice {
  let state = mix(seed >>> 0);
  for (const key of keys) {
    state = mix(state ^ (typeof key === "string" ? hashText(key) : key >>> 0));
  }
  let counter = 0;
  const next = () => mix(state + Math.imul(++counter, 0x9e3779b9)) / 2 ** 32;
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (list) => {
      if (list.length === 0) throw new RangeError("nothing to pick from");
      return list[int(0, list.length - 1)]!;
    },
    shuffle: (list) => {
      const out = [...list];
      for (let i = out.length - 1; i > 0; i--) {
        const j = int(0, i);
        [out[i], out[j]] = [out[j]!, out[i]!];
      }
      return out;
    },
  };
}

/** A 32-bit hash of a text (FNV-1a over UTF-16 units, then mixed): for stable splits, not secrets. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
