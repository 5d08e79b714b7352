/**
 * Block types of GGUF as a device holds them. The bits are those of the file, laid so that a kernel loads
 * whole words of four neighbouring rows at once: a matrix becomes planes, in each of which a word holds
 * what is stored of some columns of a row, and four words side by side are those of four rows.
 */

/** The block types that kernels read. */
export type BlockDType = "q4_0" | "q5_0" | "q8_0" | "q4_K" | "q5_K" | "q6_K";

/**
 * Columns to a word, plane by plane:
 *  q4_0  codes of 4 bits; scales, f16, those of two blocks of 32 to a word
 *  q5_0  codes' low 4 bits; their fifth bits; scales
 *  q8_0  codes; scales
 *  q4_K  codes; for every 256 columns four words: d and dmin, then 12 bytes of scales and minima
 *  q5_K  codes' low 4 bits; their fifth bits; four words as in q4_K
 *  q6_K  codes' low 4 bits; their high 2 bits; i8 scales of 16 columns; d, f16, that of two blocks to a word
 * Codes go by rising column from the lowest bit up.
 */
const planes: Readonly<Record<BlockDType, readonly number[]>> = {
  q4_0: [8, 64],
  q5_0: [8, 32, 64],
  q8_0: [4, 64],
  q4_K: [8, 64],
  q5_K: [8, 32, 64],
  q6_K: [8, 16, 64, 512],
};

export const isBlocks = (dtype: string): dtype is BlockDType => Object.hasOwn(planes, dtype);

/** Words of each plane in a group of four rows. */
const widths = (dtype: BlockDType, columns: number) =>
  planes[dtype].map((each) => 4 * Math.ceil(columns / each));

/** Bytes of a matrix on the device. */
export const planeBytes = (dtype: BlockDType, rows: number, columns: number): number =>
  widths(dtype, columns).reduce((sum, words) => sum + 4 * words * Math.ceil(rows / 4), 0);

/** Bytes before each plane of a whole matrix, and of one group of four rows in it. */
export function planePlaces(
  dtype: BlockDType,
  rows: number,
  columns: number,
): { readonly first: number; readonly group: number }[] {
  let first = 0;
  return widths(dtype, columns).map((words) => {
    const place = { first, group: 4 * words };
    first += place.group * Math.ceil(rows / 4);
    return place;
  });
}

/**
 * Rows of blocks as a file has them, in planes.
 * @param bytes whole rows; their number is a multiple of 4 but at the end of a matrix
 * @returns the stretch of each plane
 */
export function layBlocks(dtype: BlockDType, bytes: Uint8Array, columns: number): Uint32Array[] {
  const { values, size, lay } = layouts[dtype], blocks = columns / values;
  const rows = bytes.length / (blocks * size), groups = Math.ceil(rows / 4);
  const across = widths(dtype, columns);
  const out = across.map((words) => new Uint32Array(words * groups));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let row = 0, at = 0; row < rows; row++) {
    const starts = across.map((words) => (row >> 2) * words + (row & 3));
    for (let block = 0; block < blocks; block++, at += size) lay(view, at, block, out, starts);
  }
  return out;
}

/**
 * Puts the block at byte `at`, the `block`th of its row, in the planes. Word i of the row in plane p is
 * out[p][starts[p] + 4 · i].
 */
type Lay = (
  view: DataView,
  at: number,
  block: number,
  out: readonly Uint32Array[],
  starts: readonly number[],
) => void;

/** The low halves of eight bytes from `at`, shifted down by `shift`, as eight codes. */
function nibbles(view: DataView, at: number, shift: 0 | 4): number {
  return four(view.getUint32(at, true) >>> shift) |
    four(view.getUint32(at + 4, true) >>> shift) << 16;
}

function four(word: number): number {
  const pairs = word & 0x0f0f0f0f, joined = (pairs | pairs >>> 4) & 0x00ff00ff;
  return (joined | joined >>> 8) & 0xffff;
}

/** Bits `bit` of 32 bytes from `at`, that of the first the lowest. */
function bits(view: DataView, at: number, bit: number): number {
  let word = 0;
  for (let i = 0; i < 32; i++) word |= (view.getUint8(at + i) >> bit & 1) << i;
  return word;
}

/** Pairs of bits from `bit` on, of 16 bytes from `at`. */
function pairs(view: DataView, at: number, bit: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) {
    const some = view.getUint32(at + 4 * i, true) >>> bit & 0x03030303;
    const joined = (some | some >>> 6) & 0x000f000f;
    word |= ((joined | joined >>> 12) & 0xff) << 8 * i;
  }
  return word;
}

/** An f16 of a block, the even ones in the low half of a word. */
function half(view: DataView, at: number, block: number, plane: Uint32Array, start: number): void {
  plane[start + 4 * (block >> 1)]! |= view.getUint16(at, true) << 16 * (block & 1);
}

/** Codes of a block of 32 whose byte j has those of columns j and j + 16. */
function halves(view: DataView, at: number, block: number, plane: Uint32Array, start: number) {
  for (let word = 0; word < 4; word++) {
    const shift = word < 2 ? 0 : 4;
    plane[start + 4 * (4 * block + word)] = nibbles(view, at + 8 * (word & 1), shift);
  }
}

/** Codes of a block of 256 in which 32 bytes have those of 32 columns, and of the `apart` columns further. */
function quarters(
  view: DataView,
  at: number,
  block: number,
  plane: Uint32Array,
  start: number,
  [pair, apart]: readonly [number, number],
): void {
  for (let i = 0; i < 4; i++) {
    const first = 128 * (i >> 1) + pair * (i & 1);
    for (let word = 0; word < 4; word++) {
      const from = at + 32 * i + 8 * word, to = start + 4 * (32 * block + first / 8 + word);
      plane[to] = nibbles(view, from, 0);
      plane[to + apart / 2] = nibbles(view, from, 4);
    }
  }
}

/** d and dmin, and the 12 bytes of scales and minima. */
function header(view: DataView, at: number, block: number, plane: Uint32Array, start: number) {
  for (let i = 0; i < 4; i++) {
    plane[start + 4 * (4 * block + i)] = view.getUint32(at + 4 * i, true);
  }
}

const layouts: Record<BlockDType, { values: number; size: number; lay: Lay }> = {
  q4_0: {
    values: 32,
    size: 18,
    lay(view, at, block, [codes, scales], [a, b]) {
      halves(view, at + 2, block, codes!, a!);
      half(view, at, block, scales!, b!);
    },
  },
  q5_0: {
    values: 32,
    size: 22,
    lay(view, at, block, [codes, fifths, scales], [a, b, c]) {
      halves(view, at + 6, block, codes!, a!);
      fifths![b! + 4 * block] = view.getUint32(at + 2, true);
      half(view, at, block, scales!, c!);
    },
  },
  q8_0: {
    values: 32,
    size: 34,
    lay(view, at, block, [codes, scales], [a, b]) {
      for (let i = 0; i < 8; i++) {
        codes![a! + 4 * (8 * block + i)] = view.getUint32(at + 2 + 4 * i, true);
      }
      half(view, at, block, scales!, b!);
    },
  },
  q4_K: {
    values: 256,
    size: 144,
    lay(view, at, block, [codes, scales], [a, b]) {
      header(view, at, block, scales!, b!);
      quarters(view, at + 16, block, codes!, a!, [64, 32]);
    },
  },
  q5_K: {
    values: 256,
    size: 176,
    lay(view, at, block, [codes, fifths, scales], [a, b, c]) {
      header(view, at, block, scales!, c!);
      for (let j = 0; j < 8; j++) fifths![b! + 4 * (8 * block + j)] = bits(view, at + 16, j);
      quarters(view, at + 48, block, codes!, a!, [64, 32]);
    },
  },
  q6_K: {
    values: 256,
    size: 210,
    lay(view, at, block, [codes, highs, scales, units], [a, b, c, d]) {
      quarters(view, at, block, codes!, a!, [32, 64]);
      for (let i = 0; i < 16; i++) {
        const from = at + 128 + 32 * (i >> 3) + 16 * (i & 1);
        highs![b! + 4 * (16 * block + i)] = pairs(view, from, 2 * (i >> 1 & 3));
      }
      for (let i = 0; i < 4; i++) {
        scales![c! + 4 * (4 * block + i)] = view.getUint32(at + 192 + 4 * i, true);
      }
      half(view, at + 208, block, units!, d!);
    },
  },
};
