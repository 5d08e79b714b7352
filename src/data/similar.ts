/**
 * Finding rows that are nearly alike without comparing each with each.
 *
 * MinHash by one permutation: every run of five characters of a text is hashed once; the hash says
 * into which of 64 bins it falls, and each bin keeps its least hash. Two texts agree in a bin with a
 * probability that is the share of runs they have in common (Jaccard). Broder, On the resemblance and
 * containment of documents, 1997; Li, Owen, Zhang, One permutation hashing, 2012; empty bins borrow
 * from others: Shrivastava, Optimal densification, 2017. Eight bits of each bin are kept: Li, König,
 * b-bit minwise hashing, 2010. Candidates are rows that agree in four bins of one of sixteen bands.
 */

/** Bins of a signature, each one byte. */
export const BINS = 64;
const BANDS = 16;
const PER_BAND = BINS / BANDS;
const SHINGLE = 5;
/** Rows compared with one row at most: where thousands look alike, the last ones stand for them. */
const MOST_CANDIDATES = 256;

/**
 * What each character is compared as, plus one: small letters, and all kinds of space the same. Found
 * out when the character is first met; 0 until then.
 */
const folded = new Int32Array(65536);
const SPACE = 33;

function fold(c: number): number {
  const small = String.fromCharCode(c).toLowerCase();
  if (c <= 32 || /\s/.test(small)) return SPACE;
  return 1 + (small.length === 1 ? small.charCodeAt(0) : c);
}

// Signed words throughout: the compiler keeps unsigned ones as floating-point numbers.
const least = new Int32Array(BINS);
const NONE = 0x7fffffff;

/** The last step of MurmurHash3. */
function mixed(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Writes the signature of a text, 64 bytes, blind to case and the width of spaces. */
export function sign(text: string, out: Uint8Array): void {
  const to = folded, bins = least;
  bins.fill(NONE);
  // The last five characters, each plus one; each weighs in the hash until the fifth after it comes.
  let a = 0, b = 0, c = 0, d = 0, e = 0, rolling = 0, length = 0;
  const end = text.trimEnd().length;
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i), letter = to[code]! || (to[code] = fold(code));
    // The text begins as if a space stood before it; of several only the first counts.
    if (letter === SPACE && (e === SPACE || length === 0)) continue;
    rolling = (Math.imul((rolling - Math.imul(a, LEAVING)) | 0, 0x01000193) + letter) | 0;
    a = b;
    b = c;
    c = d;
    d = e;
    e = letter;
    if (++length < SHINGLE) continue;
    const h = mixed(rolling), bin = h & (BINS - 1);
    if (h < bins[bin]!) bins[bin] = h;
  }
  // A shorter text is one run.
  if (length < SHINGLE) bins[mixed(rolling) & (BINS - 1)] = mixed(rolling);
  for (let bin = 0; bin < BINS; bin++) {
    let from = bin;
    for (let tried = 1; bins[from] === NONE; tried++) {
      from = (Math.imul(bin + 1, 0x9e3779b1) + Math.imul(tried, 0x7feb352d)) >>> 26;
    }
    const h = bins[from]!;
    out[bin] = (h >>> 6 ^ h >>> 14 ^ h >>> 22) & 255;
  }
}

/** What the oldest of the five characters weighs: 0x01000193 to the fourth power, modulo 2^32. */
const LEAVING = [1, 2, 3, 4].reduce((power) => Math.imul(power, 0x01000193), 1);

/** The estimated share of common runs of five characters, 0 to 1; the error is about 0.05. */
export function similarity(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): number {
  let same = 0;
  for (let i = 0; i < BINS; i++) if (a[aAt + i] === b[bAt + i]) same++;
  return Math.max(0, (same / BINS - CHANCE) / (1 - CHANCE));
}

/** How often two bytes agree by chance. */
const CHANCE = 1 / 256;

/** Signatures that were seen, to be asked for those like another. */
export class SimilarRows {
  #count = 0;
  #signatures = new Uint8Array(1024 * BINS);
  /** The same bytes, a band to a word. */
  #bands = bandsOf(this.#signatures);
  #lines = new Uint32Array(1024);
  /** By band and bucket the last row in it, counted from 1; by band and row the one before it. */
  #heads = new Int32Array(BANDS * 1024);
  #before = new Int32Array(BANDS * 1024);
  /** The signature that is asked for; a view of another's bytes would cost more than the search. */
  readonly #asked = new Uint8Array(BINS);
  readonly #mine = bandsOf(this.#asked);

  /** Bins in which two rows may differ. */
  readonly #most: number;

  /** @param most rows kept; those after them are compared but not kept */
  constructor(threshold: number, readonly most: number) {
    this.#most = BINS - Math.ceil(BINS * (threshold * (1 - CHANCE) + CHANCE));
  }

  get full(): boolean {
    return this.#count >= this.most;
  }

  /** Whether two signatures differ in at most so many bins; most are given up after a few words. */
  #alike(row: number): boolean {
    let differing = 0;
    for (let w = 0, at = (row - 1) * BANDS; w < BANDS; w++, at++) {
      const x = this.#bands[at]! ^ this.#mine[w]!;
      // The highest bit of each byte that is not zero (Warren, Hacker's Delight, 6-1).
      const bytes = (((x & 0x7f7f7f7f) + 0x7f7f7f7f) | x) & 0x80808080;
      differing += Math.imul(bytes >>> 7, 0x01010101) >>> 24;
      if (differing > this.#most) return false;
    }
    return true;
  }

  /** The line of a row at least as similar as the threshold, if there is one. */
  find(signature: Uint8Array): number | undefined {
    const { length } = this.#lines;
    const mine = this.#mine;
    this.#asked.set(signature);
    let left = MOST_CANDIDATES;
    for (let band = 0; band < BANDS; band++) {
      let row = this.#heads[band * length + bucket(mine[band]!, length)]!;
      while (row > 0 && left > 0) {
        // Most rows of a bucket came there by chance: their band is another.
        if (this.#bands[(row - 1) * BANDS + band] === mine[band]) {
          left--;
          if (this.#alike(row)) return this.#lines[row - 1];
        }
        row = this.#before[band * length + row - 1]!;
      }
    }
    return undefined;
  }

  add(signature: Uint8Array, line: number): void {
    if (this.full) return;
    if (this.#count === this.#lines.length) this.#grow();
    this.#signatures.set(signature, this.#count * BINS);
    this.#lines[this.#count++] = line;
    this.#chain(this.#count);
  }

  #chain(row: number) {
    const { length } = this.#lines;
    for (let band = 0; band < BANDS; band++) {
      const head = band * length + bucket(this.#bands[(row - 1) * BANDS + band]!, length);
      this.#before[band * length + row - 1] = this.#heads[head]!;
      this.#heads[head] = row;
    }
  }

  #grow() {
    const length = 2 * this.#lines.length;
    const signatures = new Uint8Array(length * BINS);
    signatures.set(this.#signatures);
    const lines = new Uint32Array(length);
    lines.set(this.#lines);
    [this.#signatures, this.#lines] = [signatures, lines];
    this.#bands = bandsOf(signatures);
    [this.#heads, this.#before] = [
      new Int32Array(BANDS * length),
      new Int32Array(BANDS * length),
    ];
    for (let row = 1; row <= this.#count; row++) this.#chain(row);
  }
}

/** Four bytes of a signature are one band. */
function bandsOf(signatures: Uint8Array): Int32Array {
  return new Int32Array(signatures.buffer, signatures.byteOffset, signatures.length / PER_BAND);
}

/** @param buckets a power of two */
function bucket(band: number, buckets: number): number {
  const h = Math.imul(band ^ (band >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) & (buckets - 1);
}

/** Which texts were seen, by their hashes, and on which line: 12 bytes a place, three in four taken at most. */
export class SeenTexts {
  #count = 0;
  #table = new Uint32Array(3 * 2048);

  /** @param most texts kept; those after them are looked up but not kept */
  constructor(readonly most: number) {}

  get full(): boolean {
    return this.#count >= this.most;
  }

  /** The line of the same text seen before; else remembers this one. */
  seen({ low, high }: TextHash, line: number): number | undefined {
    const found = this.lineOf({ low, high });
    if (found !== undefined) return found;
    if (this.full) return undefined;
    if (4 * this.#count >= this.#table.length) this.#grow();
    this.#put(low, high, line);
    this.#count++;
    return undefined;
  }

  /** The same without remembering. */
  lineOf({ low, high }: TextHash): number | undefined {
    const places = this.#table.length / 3;
    for (let at = low & (places - 1);; at = (at + 1) & (places - 1)) {
      const line = this.#table[3 * at + 2]!;
      if (line === 0) return undefined;
      if (this.#table[3 * at] === low && this.#table[3 * at + 1] === high) return line;
    }
  }

  #put(low: number, high: number, line: number) {
    const places = this.#table.length / 3;
    let at = low & (places - 1);
    while (this.#table[3 * at + 2] !== 0) at = (at + 1) & (places - 1);
    this.#table[3 * at] = low;
    this.#table[3 * at + 1] = high;
    this.#table[3 * at + 2] = line;
  }

  #grow() {
    const old = this.#table;
    this.#table = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 3) {
      if (old[at + 2] !== 0) this.#put(old[at]!, old[at + 1]!, old[at + 2]!);
    }
  }
}

const whole = new BigUint64Array(1);
const halves = new Uint32Array(whole.buffer);

/** What equal texts have in common, and others, by 64 bits of chance, have not. */
export interface TextHash {
  readonly low: number;
  readonly high: number;
}

export function hashOf(text: string): TextHash {
  whole[0] = Bun.hash.wyhash(text);
  return { low: halves[0]!, high: halves[1]! };
}
