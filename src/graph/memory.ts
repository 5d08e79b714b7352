import { inPages, share } from "../base/packing.ts";
import type { Device } from "../gpu/device.ts";
import { bytesOf, count, show, storageOf, type Tensor } from "./tensor.ts";

/** Where the trained tensors lie: pages that one binding can hold, each tensor whole in one of them. */
export interface ArenaLayout {
  /** f32 elements of each page */
  readonly pages: readonly number[];
  /** Which group of tensors each page holds. */
  readonly groups: readonly number[];
  /** By tensor name: page and first element, a multiple of 64 (WebGPU binds at multiples of 256 bytes). */
  readonly at: ReadonlyMap<string, { readonly page: number; readonly offset: number }>;
}

/** Weights, gradients, first and second moments: four arenas of one layout. */
export type Arena = "w" | "g" | "m" | "v";

const PAGE = 16 * 2 ** 20; // elements: 64 MiB, half of the smallest limit that WebGPU allows

const alike = (_: Tensor) => 0;

/** Lays the trained tensors one after another, in the order given, those of each group in pages of its own. */
export function layoutArena(trained: readonly Tensor[], page = PAGE, group = alike): ArenaLayout {
  const parts = trained.map((t) => ({
    size: Math.ceil(count(t.shape) / 64) * 64,
    group: group(t),
  }));
  const { at, ...pages } = inPages(parts, page);
  return { ...pages, at: new Map(trained.map(({ name }, i) => [name, at[i]!])) };
}

export interface Place {
  readonly buffer: GPUBuffer;
  /** bytes */
  readonly offset: number;
  /** bytes */
  readonly size: number;
}

/**
 * What outlives a run, by home and name: several recorded programs over the same weights (a training
 * step, its update, validation, generation) meet here.
 */
export class Memory {
  readonly device: Device;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #constants = new Map<Float32Array | Uint32Array, GPUBuffer>();
  readonly #slots: GPUBuffer[] = [];
  #arena: ArenaLayout | undefined;

  constructor(device: Device) {
    this.device = device;
  }

  /** Fixes where the trained tensors lie. Must come before anything that trains is placed. */
  layOut(trained: readonly Tensor[], group?: (t: Tensor) => number): ArenaLayout {
    const page = Math.min(PAGE, this.device.capabilities.maxBinding / 4);
    return this.#arena = layoutArena(trained, page, group);
  }

  #buffer(key: string, bytes: number): GPUBuffer {
    const buffer = this.#buffers.get(key) ?? this.device.buffer(key, bytes);
    this.#buffers.set(key, buffer);
    return buffer;
  }

  /**
   * The bytes of any tensor that is neither an input nor a value; made, zeroed, on first demand. For a
   * trained tensor, its place in another arena when that is named.
   */
  place(tensor: Tensor, arena?: Arena): Place {
    const t = storageOf(tensor), size = bytesOf(t);
    switch (t.home) {
      case "frozen":
      case "state":
        return { buffer: this.#buffer(`${t.home} ${t.name}`, size), offset: 0, size };
      case "constant": {
        const buffer = this.#constants.get(t.data!) ??
          this.device.buffer(`constant ${t.name}`, size);
        if (!this.#constants.has(t.data!)) this.device.write(buffer, 0, t.data!);
        this.#constants.set(t.data!, buffer);
        return { buffer, offset: 0, size };
      }
      case "trained":
      case "gradient": {
        const at = this.#arena?.at.get(t.name);
        if (!at) throw new Error(`${show(t)} has no place in the arena`);
        const buffer = this.#page(arena ?? (t.home === "trained" ? "w" : "g"), at.page);
        return { buffer, offset: at.offset * 4, size };
      }
      case "arena": {
        const [which, page] = t.name.split(".");
        return { buffer: this.#page(which!, Number(page)), offset: 0, size };
      }
      default:
        throw new Error(`${show(t)} is ${t.home}: it has no lasting memory`);
    }
  }

  #page(which: string, page: number): GPUBuffer {
    return this.#buffer(`arena ${which}.${page}`, this.#arena!.pages[page]! * 4);
  }

  /**
   * Buffers for the values of a run, as large as asked for or larger. All runners share them, so what
   * one has left there is gone when another has run.
   */
  slots(name: string, sizes: readonly number[]): GPUBuffer[] {
    return share(this.#slots.map(({ size }) => size), sizes).map((at, i) =>
      this.#slots[at] ??= this.device.buffer(`${name} slot ${i}`, sizes[i]!)
    );
  }

  /** Writes a whole tensor; `data` holds its bytes as they are on the device. */
  write(t: Tensor, data: ArrayBufferView, arena?: Arena): void {
    const { buffer, offset, size } = this.place(t, arena);
    if (Math.ceil(data.byteLength / 4) * 4 !== size) {
      throw new Error(`${show(t)} takes ${size} bytes, was given ${data.byteLength}`);
    }
    this.device.write(buffer, offset, data);
  }

  /** Reads a whole f32 tensor back. */
  async read(t: Tensor, arena?: Arena): Promise<Float32Array> {
    const { buffer, offset, size } = this.place(t, arena);
    const bytes = await this.device.read(buffer, offset, size);
    return new Float32Array(bytes.buffer, bytes.byteOffset, count(t.shape));
  }

  /** Gives every buffer back to the device. */
  free(): void {
    const lasting = [...this.#buffers.values(), ...this.#constants.values()];
    for (const buffer of [...lasting, ...this.#slots.splice(0)]) this.device.free(buffer);
    this.#buffers.clear();
    this.#constants.clear();
  }
}
