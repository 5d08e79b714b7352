import { Exit, Fail } from "../base/fail.ts";
import type { Device } from "./device.ts";

const capacity = 2048; // passes in one query set: WebGPU allows 4,096 queries

interface Set {
  readonly queries: GPUQuerySet;
  readonly resolved: GPUBuffer;
  readonly result: GPUBuffer;
}

/** Measures compute passes on the GPU's own clock. */
export class Timer {
  readonly #device: Device;
  readonly #sets: Set[] = [];
  readonly #labels: string[] = [];

  /** @throws Fail (exit 4) when the adapter has no timestamps. */
  constructor(device: Device) {
    if (!device.capabilities.timestamps) {
      throw new Fail(`${device.capabilities.adapter} cannot measure time`, {
        why: "the adapter lacks timestamp-query",
        exit: Exit.gpu,
      });
    }
    this.#device = device;
  }

  /** Begins a compute pass that is measured under `label`; labels may repeat. */
  pass(encoder: GPUCommandEncoder, label: string): GPUComputePassEncoder {
    const index = this.#labels.length;
    const { queries } = this.#sets[Math.floor(index / capacity)] ?? this.#grow();
    this.#labels.push(label);
    const at = (index % capacity) * 2;
    return encoder.beginComputePass({
      label,
      timestampWrites: {
        querySet: queries,
        beginningOfPassWriteIndex: at,
        endOfPassWriteIndex: at + 1,
      },
    });
  }

  /** Nanoseconds and passes per label since the last call, in order of first use. */
  async collect(): Promise<Map<string, { ns: number; passes: number }>> {
    const labels = this.#labels.splice(0);
    const totals = new Map<string, { ns: number; passes: number }>();
    for (const [index, { queries, resolved, result }] of this.#sets.entries()) {
      const here = labels.slice(index * capacity, (index + 1) * capacity);
      if (here.length === 0) break;
      const encoder = this.#device.gpu.createCommandEncoder({ label: "timestamps" });
      encoder.resolveQuerySet(queries, 0, here.length * 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, result, 0, here.length * 16);
      this.#device.submit("timestamps", [encoder.finish()]);
      const bytes = await this.#device.read(result, 0, here.length * 16);
      const times = new BigUint64Array(bytes.buffer, bytes.byteOffset, here.length * 2);
      here.forEach((label, i) => {
        const total = totals.get(label) ?? { ns: 0, passes: 0 };
        total.ns += Number(times[2 * i + 1]! - times[2 * i]!);
        total.passes++;
        totals.set(label, total);
      });
    }
    return totals;
  }

  /** Frees the query sets. */
  close(): void {
    for (const { queries, resolved, result } of this.#sets.splice(0)) {
      queries.destroy();
      resolved.destroy();
      this.#device.free(result);
    }
  }

  #grow(): Set {
    const { gpu } = this.#device;
    const set = {
      queries: gpu.createQuerySet({ type: "timestamp", count: capacity * 2 }),
      resolved: gpu.createBuffer({
        label: "timestamps",
        size: capacity * 16,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      }),
      result: this.#device.buffer("timestamps", capacity * 16),
    };
    this.#sets.push(set);
    return set;
  }
}
