/**
 * Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
 * as 1, 2, 3"). A number is a function of where it is used (seed, stream, step, index), never of what
 * was drawn before, so nothing depends on the order of calls and a mask can be made again instead of
 * kept. kernels/common/philox.wgsl is the same generator.
 */

type Pair = readonly [number, number];
type Four = readonly [number, number, number, number];

/** High 32 bits of a 32 x 32 bit product. */
function high(a: number, b: number): number {
  const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  return (a1 * b1 + Math.floor(middle / 65536) +
    Math.floor(((middle & 0xffff) + a0 * b1) / 65536)) >>>
    0;
}

/** Four random words for a key and a counter, all u32. */
export function philox(key: Pair, counter: Four): Uint32Array {
  let [k0, k1] = key, [c0, c1, c2, c3] = counter;
  for (let round = 0; round < 10; round++) {
    const h0 = high(0xd2511f53, c0 >>> 0), l0 = Math.imul(0xd2511f53, c0);
    const h1 = high(0xcd9e8d57, c2 >>> 0), l1 = Math.imul(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0];
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  return Uint32Array.of(c0, c1, c2, c3);
}

/** A seed, an integer of up to 53 bits, as a Philox key. */
const keyOf = (seed: number): Pair => [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];

/** Words 4·block to 4·block + 3 of a stream; `step` is a second index, for what repeats every step. */
export function block(seed: number, stream: number, block: number, step = 0): Uint32Array {
  return philox(keyOf(seed), [block >>> 0, Math.floor(block / 2 ** 32) >>> 0, step, stream]);
}

/** Word `index` of a stream: a u32. */
export function word(seed: number, stream: number, index: number, step = 0): number {
  return block(seed, stream, Math.floor(index / 4), step)[index % 4]!;
}

/** Number `index` of a stream in [0, 1), a multiple of 2^-24 and so exact in f32. */
export function uniform(seed: number, stream: number, index: number, step = 0): number {
  return (word(seed, stream, index, step) >>> 8) * 2 ** -24;
}

/** A stream number for a name (32-bit FNV-1a of its UTF-8 bytes). */
export function streamOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** The order of 0 … n-1 in an epoch (Fisher and Yates, Durstenfeld's form). */
export function permutation(seed: number, epoch: number, n: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const stream = streamOf("permutation");
  for (let i = n - 1; i > 0; i--) {
    const [a, b] = block(seed, stream, i, epoch);
    const j = Math.floor(((a! >>> 5) * 2 ** 26 + (b! >>> 6)) * 2 ** -53 * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** n numbers from U[low, high). */
export function uniformFill(
  seed: number,
  stream: number,
  n: number,
  low: number,
  high: number,
): Float32Array {
  const out = new Float32Array(n);
  for (let i = 0; i < n; i += 4) {
    const words = block(seed, stream, i / 4);
    for (let j = 0; j < 4 && i + j < n; j++) {
      out[i + j] = low + (words[j]! >>> 8) * 2 ** -24 * (high - low);
    }
  }
  return out;
}

/** n numbers from N(0, deviation²) (Box and Muller 1958). */
export function normalFill(
  seed: number,
  stream: number,
  n: number,
  deviation = 1,
): Float32Array {
  const out = new Float32Array(n);
  for (let i = 0; i < n; i += 4) {
    const words = block(seed, stream, i / 4);
    for (let j = 0; j < 4 && i + j < n; j++) {
      const u = (words[j & 2]! + 1) * 2 ** -32,
        angle = 2 * Math.PI * words[(j & 2) + 1]! * 2 ** -32;
      const radius = deviation * Math.sqrt(-2 * Math.log(u));
      out[i + j] = radius * (j & 1 ? Math.sin(angle) : Math.cos(angle));
    }
  }
  return out;
}

/**
 * n numbers from U[-b, b) with b = sqrt(6 / ((1 + a²) · fanIn)) (He et al. 2015). The default slope
 * a = sqrt(5), which gives b = 1/sqrt(fanIn), is what PEFT draws LoRA's A with.
 */
export function kaimingUniform(
  seed: number,
  stream: number,
  n: number,
  fanIn: number,
  slope = Math.sqrt(5),
): Float32Array {
  const bound = Math.sqrt(6 / ((1 + slope * slope) * fanIn));
  return uniformFill(seed, stream, n, -bound, bound);
}
