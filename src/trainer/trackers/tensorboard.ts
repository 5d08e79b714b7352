import { existsSync, readdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type ByteLog, openBytes } from "../../base/byte_log.ts";
import { crc32c } from "../../base/crc32c.ts";
import type { Histogram } from "./histogram.ts";
import { block, type Bytes, double, doubles, float, integer, message } from "./protobuf.ts";
import { asText, type Entry, type RunFacts, type Tracker } from "./tracker.ts";

/**
 * Event files as TensorBoard reads them (tensorflow/core/util/event.proto and
 * tensorflow/core/framework/summary.proto): TFRecords of Event messages. Point TensorBoard at the run
 * folder, or at a folder of many: `tensorboard --logdir runs`.
 */
export class TensorBoard implements Tracker {
  readonly name = "tensorboard";
  readonly local = true;
  readonly histograms = true;
  place: string | undefined;
  #log: ByteLog | undefined;

  async begin(run: RunFacts): Promise<null> {
    this.place = join(run.folder, "tensorboard");
    const earlier = existsSync(this.place);
    this.#log = await openBytes(join(this.place, nextName(this.place, run.started)));
    const at = Date.now();
    const first = [versionEvent(at)];
    // What was shown of later steps belongs to the part of the run that was given up.
    if (earlier) first.push(restartEvent(at, run.from === 0 ? 0 : run.from + 1));
    if (run.from === 0) first.push(textEvent({ step: 0, at }, "settings", asText(run.config)));
    this.#log.append(message(...first.map(tfRecord)));
    return null;
  }

  // deno-lint-ignore require-await -- appends block, and are short
  async write(entries: readonly Entry[]): Promise<void> {
    this.#log!.append(message(...entries.flatMap(eventsOf).map(tfRecord)));
  }

  async end(): Promise<void> {
    await this.#log?.close();
  }
}

/** Readers take the files of a folder in the order of their names: a later one must sort after all others. */
function nextName(folder: string, at: number): string {
  const taken = existsSync(folder) ? readdirSync(folder) : [];
  const seconds = taken.map((name) => Number(/\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
  const next = Math.max(Math.floor(at / 1000), ...seconds.map((s) => s + 1));
  const host = hostname().replace(/[^\w-]/g, "-");
  return `events.out.tfevents.${String(next).padStart(10, "0")}.${host}.${process.pid}`;
}

/** Length, its checksum, data, its checksum; checksums are CRC-32C, rotated and offset. */
export function tfRecord(data: Bytes): Bytes {
  const out = new Uint8Array(data.length + 16), view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return out;
}

function masked(bytes: Bytes): number {
  const c = crc32c(bytes);
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0;
}

interface When {
  readonly step: number;
  readonly at: number;
}

const event = ({ step, at }: When, what: Bytes) =>
  message(double(1, at / 1000), integer(2, step), what);
const versionEvent = (at: number) => message(double(1, at / 1000), block(3, "brain.Event:2"));
/** SessionLog START: readers forget what they have from this step on. */
const restartEvent = (at: number, step: number) => event({ step, at }, block(7, integer(1, 1)));
const valueEvent = (when: When, tag: string, ...value: Bytes[]) =>
  event(when, block(5, block(1, message(block(1, tag), ...value))));

function textEvent(when: When, tag: string, text: string): Bytes {
  const one = block(2, block(2, integer(1, 1)));
  const tensor = message(integer(1, DT_STRING), one, block(8, text));
  return valueEvent(when, tag, block(9, block(1, block(1, "text"))), block(8, tensor));
}
const DT_STRING = 7;

/** HistogramProto: each bucket up to a limit, the first one from minus infinity. */
function histogramProto({ min, max, count, sum, squares, limits, counts }: Histogram): Bytes {
  return message(
    double(1, min),
    double(2, max),
    double(3, count),
    double(4, sum),
    double(5, squares),
    doubles(6, limits),
    doubles(7, [0, ...counts]),
  );
}

function eventsOf(entry: Entry): Bytes[] {
  switch (entry.kind) {
    case "scalars":
      return Object.entries(entry.values).map(([tag, x]) => valueEvent(entry, tag, float(2, x)));
    case "text":
      return [textEvent(entry, entry.tag, entry.text)];
    case "histogram":
      return [valueEvent(entry, entry.tag, block(5, histogramProto(entry.histogram)))];
  }
}
