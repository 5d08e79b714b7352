/**
 * Two numbers to one, in flat memory: open addressing over the pair (a, b), neither negative. A
 * JavaScript Map would need a key of its own for every pair.
 */
export class PairTable {
  readonly #mask: number;
  readonly #keys: Int32Array;
  readonly #values: Int32Array;

  /** Room for `count` pairs. */
  constructor(count: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, 2 * count)));
    this.#mask = size - 1;
    this.#keys = new Int32Array(2 * size).fill(-1);
    this.#values = new Int32Array(size);
  }

  #place(a: number, b: number): number {
    let place = Math.imul(Math.imul(a, 0x9e3779b1) ^ (b + (a >>> 16)), 0x85ebca6b);
    place = (place ^ (place >>> 15)) & this.#mask;
    while (this.#keys[2 * place] !== -1) {
      if (this.#keys[2 * place] === a && this.#keys[2 * place + 1] === b) break;
      place = (place + 1) & this.#mask;
    }
    return place;
  }

  /** The value of the pair, -1 where it has none. */
  get(a: number, b: number): number {
    const place = this.#place(a, b);
    return this.#keys[2 * place] === -1 ? -1 : this.#values[place]!;
  }

  set(a: number, b: number, value: number): void {
    const place = this.#place(a, b);
    this.#keys[2 * place] = a;
    this.#keys[2 * place + 1] = b;
    this.#values[place] = value;
  }
}
