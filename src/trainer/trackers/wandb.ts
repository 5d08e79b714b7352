import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ByteLog, openBytes } from "../../base/byte_log.ts";
import { makeFolder } from "../../base/disk.ts";
import { block, type Bytes, integer, message } from "./protobuf.ts";
import type { Entry, Outcome, RunFacts, Tracker } from "./tracker.ts";

/**
 * An offline run of Weights & Biases: the file that its own SDK writes in offline mode, which
 * `wandb sync FOLDER` uploads when and where its owner wants. Nothing is sent from here and no key is
 * needed. The file is LevelDB's log format with CRC-32, holding messages of wandb_internal.proto.
 */
export class WandbOffline implements Tracker {
  readonly name = "wandb";
  readonly local = true;
  readonly histograms = true;
  place: string | undefined;
  #log: ByteLog | undefined;
  #records = 0;
  #began = 0;
  #latest = 0;
  /** The row of the step that is not over yet. */
  #row: { step: number; at: number; items: Map<string, unknown> } | undefined;
  readonly #summary = new Map<string, unknown>();

  async begin(run: RunFacts, state: unknown): Promise<unknown> {
    const id = (state as { id?: string } | null | undefined)?.id ?? newId();
    const parts = join(run.folder, "wandb");
    let at = run.started;
    while (existsSync(join(parts, nameOf(id, at)))) at += 1000;
    this.place = join(parts, nameOf(id, at));
    await makeFolder(join(this.place, "files")); // wandb sync puts its own beside
    this.#log = await openBytes(join(this.place, `run-${id}.wandb`));
    this.#began = this.#latest = run.started;
    this.#log.append(HEADER);
    const config = Object.entries(run.config).map(([key, value]) => block(1, item(key, value)));
    const seconds = Math.floor(run.started / 1000);
    this.#put(21, new Uint8Array(0));
    this.#put(
      17,
      message(
        block(1, id),
        block(3, "whet"),
        block(4, message(...config)),
        block(8, run.name),
        integer(14, run.from),
        block(17, integer(1, seconds)),
      ),
    );
    return { id };
  }

  // deno-lint-ignore require-await -- appends block, and are short
  async write(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      if (this.#row && this.#row.step !== entry.step) this.#endRow();
      this.#row ??= { step: entry.step, at: entry.at, items: new Map() };
      const { items } = this.#row;
      if (entry.kind === "scalars") {
        for (const [key, value] of Object.entries(entry.values)) items.set(key, value);
      } else if (entry.kind === "text") items.set(entry.tag, entry.text);
      else {
        const { limits: bins, counts: values } = entry.histogram;
        items.set(entry.tag, { _type: "histogram", bins, values });
      }
    }
  }

  flush(): void {
    this.#endRow();
  }

  async end(outcome: Outcome): Promise<void> {
    this.#endRow();
    const summary = [...this.#summary].map(([key, value]) => block(1, item(key, value)));
    this.#put(3, message(...summary));
    const runtime = Math.round((this.#latest - this.#began) / 1000);
    const code = { finished: 0, stopped: 130, failed: 1 }[outcome];
    this.#put(18, message(integer(1, code), integer(2, runtime)));
    await this.#log!.close();
  }

  #endRow() {
    if (!this.#row) return;
    const { step, at, items } = this.#row;
    this.#row = undefined;
    this.#latest = at;
    items.set("_step", step).set("_timestamp", at / 1000);
    items.set("_runtime", (at - this.#began) / 1000);
    for (const [key, value] of items) this.#summary.set(key, value);
    const fields = [...items].map(([key, value]) => block(1, item(key, value)));
    this.#put(2, message(...fields, block(2, integer(1, step))));
  }

  /** A Record: its number, and one kind of content. */
  #put(kind: number, content: Bytes) {
    const record = message(integer(1, this.#records++), block(kind, content));
    this.#log!.append(levelDbRecords(record, this.#log!.size));
  }
}

/** A key and its value as JSON; numbers that are not finite as Python writes them. */
function item(key: string, value: unknown): Bytes {
  const json = typeof value === "number" && !Number.isFinite(value)
    ? String(value)
    : JSON.stringify(value) ?? "null";
  return message(block(1, key), block(16, json));
}

/** ":W&B", a magic number, version 0. */
const HEADER = Uint8Array.of(0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0);
const BLOCK = 32768, FRAME = 7;

/**
 * One message in frames that do not cross blocks of 32 KiB: CRC-32 of type and data, length, type (whole,
 * first, middle, last). https://github.com/google/leveldb/blob/main/doc/log_format.md
 * @param at offset in the file where it will lie
 */
export function levelDbRecords(data: Bytes, at: number): Bytes {
  const parts: Bytes[] = [];
  let left = BLOCK - at % BLOCK;
  if (left < FRAME) {
    parts.push(new Uint8Array(left));
    left = BLOCK;
  }
  for (let done = 0, first = true;; first = false) {
    const size = Math.min(data.length - done, left - FRAME);
    const last = done + size === data.length;
    parts.push(frame(first ? last ? 1 : 2 : last ? 4 : 3, data.subarray(done, done + size)));
    if (last) return message(...parts);
    done += size;
    left = BLOCK;
  }
}

function frame(type: number, data: Bytes): Bytes {
  const out = new Uint8Array(FRAME + data.length), view = new DataView(out.buffer);
  out[6] = type;
  out.set(data, FRAME);
  view.setUint32(0, Bun.hash.crc32(out.subarray(6)), true);
  view.setUint16(4, data.length, true);
  return out;
}

/** "offline-run-20260102_030405-id", as the SDK names it. */
function nameOf(id: string, at: number): string {
  const [day, time] = new Date(at).toISOString().replace(/[-:]|\..*/g, "").split("T");
  return `offline-run-${day}_${time}-${id}`;
}

/** Eight characters of a-z and 0-9, as W&B's own ids are. */
function newId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (x) => letters[x % 36]).join("");
}
