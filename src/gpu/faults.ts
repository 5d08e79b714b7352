import { Exit, Fail } from "../base/fail.ts";

/** What should go wrong, for tests: the failures a GPU really has, at a chosen moment. */
export interface Faults {
  /** Lose the device just before this submit (1 is the first). */
  readonly loseAtSubmit?: number;
  /** Fail this allocation (1 is the first). */
  readonly failAllocation?: number;
  /** Fail any allocation that would take the total above this many bytes. */
  readonly budget?: number;
  /** Fill buffers with this label with NaN after each write and at creation. */
  readonly poison?: string;
  /** Flip one bit of what is read from buffers with this label. */
  readonly flip?: string;
  /** Reads of buffers with this label see what the first read saw. */
  readonly stale?: string;
  /** Reads of buffers with this label see zeros. */
  readonly zero?: string;
}

/** Counts what happens on one device and says when a fault is due. */
export class Injector {
  submits = 0;
  allocations = 0;
  readonly #faults: Faults;
  readonly #first = new Map<number, Uint8Array>();

  constructor(faults: Faults = {}) {
    this.#faults = faults;
  }

  get poisoning(): boolean {
    return this.#faults.poison !== undefined;
  }

  /** True when the device must be lost now. */
  submit(): boolean {
    this.submits++;
    return this.submits === this.#faults.loseAtSubmit;
  }

  /** @throws Fail (exit 5) when this allocation must fail. */
  allocate(label: string, bytes: number, total: number): void {
    this.allocations++;
    const { failAllocation, budget } = this.#faults;
    if (this.allocations === failAllocation || total + bytes > (budget ?? Infinity)) {
      throw outOfMemory(label, bytes, total);
    }
  }

  poisons(label: string): boolean {
    return label === this.#faults.poison;
  }

  /** Changes what a read returns, in place. */
  read(label: string, offset: number, bytes: Uint8Array): void {
    if (label === this.#faults.zero) bytes.fill(0);
    if (label === this.#faults.flip && bytes.length > 0) {
      const middle = bytes.length >> 1;
      bytes[middle] = bytes[middle]! ^ 1;
    }
    if (label === this.#faults.stale) {
      const first = this.#first.get(offset);
      if (first) bytes.set(first.subarray(0, bytes.length));
      else this.#first.set(offset, bytes.slice());
    }
  }
}

export function outOfMemory(label: string, bytes: number, total: number): Fail {
  return new Fail(
    `The GPU has no room for ${label} (${mebibytes(bytes)} on top of ${mebibytes(total)})`,
    {
      why: "the adapter refused the allocation",
      fix:
        "lower the tokens of a step (--max-seq, --batch), use --grad-checkpoint on, or see `whet plan`",
      exit: Exit.memory,
    },
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
