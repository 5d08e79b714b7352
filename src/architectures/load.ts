/** Brings base weights from disk to device, in pieces; what is to be quantised is on the way. */
import { layInt8 } from "../../kernels/common/int8.ts";
import { isNf4, layNf4, layNf4Codes, layNf4Scales, tiled } from "../../kernels/common/nf4.ts";
import { rowRanges } from "../../kernels/common/ranges.ts";
import { type FloatType, sizeOf } from "../formats/encode.ts";
import { type BlockDType, isBlocks, layBlocks, planePlaces } from "../formats/gguf_planes.ts";
import { quantiseStoredRows } from "../formats/int8.ts";
import { BLOCK, nest, quantiseStored } from "../formats/nf4.ts";
import type { Memory } from "../graph/memory.ts";
import { bytesOf, count, type Tensor } from "../graph/tensor.ts";
import type { Model } from "./model.ts";

/** Numbers that are on the host at once while a matrix streams to the device. */
const PIECE = 4 * 2 ** 20;

/**
 * Streams base weights to the device: frozen ones as they are stored or quantised on the way, vectors and
 * trained ones as f32.
 * @param tensors what to load; each at most once for a `memory`
 * @param progress called with device bytes done and device bytes in total
 * @throws Fail (data) naming a weight that is to be quantised and holds NaN or infinity
 */
export async function loadWeights(
  model: Model,
  memory: Memory,
  tensors: readonly Tensor[],
  progress?: (done: number, total: number) => void,
): Promise<void> {
  const total = tensors.reduce((sum, t) => sum + bytesOf(t), 0);
  let done = 0;
  for (const t of tensors) {
    const load = isNf4(t.dtype)
      ? loadNf4
      : t.dtype === "int8"
      ? loadInt8
      : isBlocks(t.dtype)
      ? loadBlocks
      : loadFloats;
    for (const bytes of load(model, memory, t)) {
      done += bytes;
      progress?.(done, total);
      await new Promise(setImmediate); // lets Ctrl-C be heard
    }
  }
}

/** Each writes one tensor, a piece a turn, and tells the device bytes of each piece. */
type Load = (model: Model, memory: Memory, t: Tensor) => Iterable<number>;

const widthOf = (t: Tensor) => count(t.shape.slice(1));

/** Stretches of whole rows, of PIECE numbers at most, a multiple of `step` rows but for the last. */
function* pieces(
  t: Tensor,
  step: number,
  rows: number = t.shape[0]!,
): Generator<readonly [from: number, to: number]> {
  const most = Math.max(step, Math.floor(PIECE / widthOf(t) / step) * step);
  for (let from = 0; from < rows; from += most) yield [from, Math.min(rows, from + most)];
}

/** What was read last: each piece is done with when the next is read. */
const piece = new Uint8Array(4 * PIECE);

/** Rows as the file has them, of one of the types that `openModel` lets through. Good until the next call. */
function stored({ folder }: Model, t: Tensor, from: number, to: number) {
  const type = folder.tensors.get(t.name)!.dtype as FloatType;
  const row = widthOf(t) * sizeOf[type];
  return { bytes: folder.readBytes(t.name, from * row, to * row, piece), type };
}

function* loadFloats(model: Model, memory: Memory, t: Tensor): ReturnType<Load> {
  const { buffer, offset } = memory.place(t), size = t.dtype === "f32" ? 4 : 2;
  // A piece of 2-byte numbers must end on a whole u32 word.
  for (const [from, to] of pieces(t, 2)) {
    const data = t.dtype === "f32"
      ? model.folder.readF32(t.name, from, to)
      : stored(model, t, from, to).bytes;
    memory.device.write(buffer, offset + from * widthOf(t) * size, data);
    yield data.byteLength;
  }
}

/** Codes in pieces of whole blocks, then all the scales: double quantisation needs their mean. */
function* loadNf4(model: Model, memory: Memory, t: Tensor): ReturnType<Load> {
  const { folder } = model;
  if (folder.quantised?.get(t.name) === "nf4") {
    const saved = folder.nf4!(t.name);
    memory.write(t, layNf4(saved, t.shape, saved.nested));
    return yield bytesOf(t);
  }
  const nested = (scales: Float32Array) => t.dtype === "nf4_double" ? nest(scales) : undefined;
  if (!tiled(t.shape)) {
    const { bytes, type } = stored(model, t, 0, t.shape[0]!);
    const { codes, scales } = quantiseStored(bytes, type, t.name);
    memory.write(t, layNf4({ codes, scales }, t.shape, nested(scales)));
    return yield bytesOf(t);
  }
  const { buffer, offset } = memory.place(t), width = widthOf(t), n = count(t.shape);
  const scales = new Float32Array(n / BLOCK);
  for (const [from, to] of pieces(t, 4)) {
    const { bytes, type } = stored(model, t, from, to);
    const { codes, scales: some } = quantiseStored(bytes, type, t.name);
    scales.set(some, from * width / BLOCK);
    memory.device.write(buffer, offset + from * width / 2, layNf4Codes(codes, width));
    yield codes.length;
  }
  const rest = layNf4Scales(scales, t.shape, nested(scales));
  memory.device.write(buffer, offset + n / 2, rest);
  yield rest.byteLength;
}

/** Rows with their scales, those of the file or made here. */
function* loadInt8(model: Model, memory: Memory, t: Tensor): ReturnType<Load> {
  const { folder } = model, width = widthOf(t), rows = t.shape[0]!;
  const { buffer, offset } = memory.place(t);
  const scales = bytesOf(t) - rows * 4;
  const made = (from: number, to: number) => {
    if (folder.quantised?.get(t.name) === "int8") return folder.int8!(t.name, from, to);
    const { bytes, type } = stored(model, t, from, to);
    return quantiseStoredRows(bytes, type, width, t.name);
  };
  for (const [from, to] of pieces(t, 4)) { // four rows are whole words of codes
    const some = layInt8(made(from, to), [to - from, width]), codes = some.length - (to - from);
    memory.device.write(buffer, offset + from * width, some.subarray(0, codes));
    memory.device.write(buffer, offset + scales + from * 4, some.subarray(codes));
    yield some.byteLength;
  }
}

/** Blocks of a GGUF file, their words in another order and nothing else; planes for each range of rows. */
function* loadBlocks({ folder }: Model, memory: Memory, t: Tensor): ReturnType<Load> {
  const dtype = t.dtype as BlockDType, width = widthOf(t), { buffer, offset } = memory.place(t);
  let at = offset;
  for (const range of rowRanges(t, memory.device.capabilities)) {
    const places = planePlaces(dtype, range.rows, width);
    for (const [from, to] of pieces(t, 4, range.rows)) {
      const bytes = folder.blocks!(t.name, range.from + from, range.from + to);
      const planes = layBlocks(dtype, bytes, width);
      for (const [i, { first, group }] of places.entries()) {
        memory.device.write(buffer, at + first + from / 4 * group, planes[i]!);
      }
      yield planes.reduce((sum, { byteLength }) => sum + byteLength, 0);
    }
    at += bytesOf({ shape: [range.rows, width], dtype });
  }
}
