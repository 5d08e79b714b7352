/** Milliseconds one dispatch should take at most: a desktop draws nothing meanwhile. */
export const DISPATCH_LIMIT = 50;
/**
 * Milliseconds one submit may take. Drivers reset a device that works on one for too long (Windows after
 * 2 s), and slower screens or other programs take their part.
 */
export const SUBMIT_LIMIT = 250;

/** Dispatches in the first submits of a list that was never measured: few, for each may take its limit. */
const FIRST = SUBMIT_LIMIT / DISPATCH_LIMIT - 1;
/** Dispatches in one submit at most, measured or not. */
const MOST = 1024;

interface Cut {
  readonly count: number;
  /** How long it took when it was last measured. */
  ms: number | undefined;
}

/**
 * Where a list of dispatches that is replayed again and again is cut into submits. It begins with short
 * submits, and from measured times joins neighbours that together stay below two fifths of the limit and
 * halves what takes more than four fifths. Only the cutting depends on time, never what is computed.
 */
export class Pace {
  #cuts: Cut[];
  readonly #limit: number;

  /** @param limit milliseconds of one submit; Infinity where nothing watches and nothing is measured */
  constructor(dispatches: number, limit: number) {
    this.#limit = limit;
    const size = limit === Infinity ? MOST : FIRST;
    this.#cuts = Array.from({ length: Math.ceil(dispatches / size) }, (_, i) => ({
      count: Math.min(size, dispatches - i * size),
      ms: undefined,
    }));
  }

  /** Whether it wants to be told times. */
  get measures(): boolean {
    return this.#limit !== Infinity;
  }

  /** The submits of the next replay: how many dispatches each has, and where to tell its milliseconds. */
  next(): { readonly count: number; told(ms: number): void }[] {
    if (this.measures && this.#cuts.every(({ ms }) => ms !== undefined)) this.#settle();
    return this.#cuts.map((cut) => ({ count: cut.count, told: (ms) => void (cut.ms = ms) }));
  }

  #settle(): void {
    const most = 0.4 * this.#limit, settled: Cut[] = [];
    for (const { count, ms } of this.#cuts) {
      if (ms! > 2 * most && count > 1) {
        const half = count >> 1;
        settled.push({ count: half, ms: ms! / 2 }, { count: count - half, ms: ms! / 2 });
        continue;
      }
      const last = settled.at(-1);
      if (last && last.ms! + ms! <= most && last.count + count <= MOST) {
        settled[settled.length - 1] = { count: last.count + count, ms: last.ms! + ms! };
      } else settled.push({ count, ms });
    }
    // A time that was added up is a guess: it counts until it is measured.
    this.#cuts = settled;
  }
}
