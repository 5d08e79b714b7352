/** A whole training run of a tiny model, as the command does it, on a device that fails when told to. */
import { cpSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Io } from "../src/commands/io.ts";
import { prepareRun } from "../src/commands/train/prepared.ts";
import { train } from "../src/commands/train/training.ts";
import { Device } from "../src/gpu/device.ts";
import type { Faults } from "../src/gpu/faults.ts";
import { commonSettings } from "../src/settings/common.ts";
import { trainSettings } from "../src/settings/train.ts";
import { tinyModel, tinyRows } from "./tiny.ts";

export type Told = Record<string, unknown> & { readonly event: string };

/** What one run did. */
export interface Outcome {
  /** What ended it before its time. */
  readonly error: unknown;
  readonly out: string;
  readonly events: readonly Told[];
  /** Labels of the submits, in order. */
  readonly submits: readonly string[];
  readonly allocations: number;
  readonly peakBytes: number;
  /** Weights and checkpoints as they were when the device was lost; undefined when it was not. */
  readonly atLoss: readonly string[] | undefined;
}

/** The tiny model with a tokenizer and rows of ids, in a folder that the caller removes. */
export async function workshop(): Promise<string> {
  const dir = await tinyModel();
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    cpSync(join(import.meta.dir, "../models/micro", name), join(dir, name));
  }
  const lines = tinyRows(12).map(({ ids, labels }) => JSON.stringify({ input_ids: ids, labels }));
  writeFileSync(join(dir, "rows.jsonl"), lines.slice(0, 10).join("\n"));
  writeFileSync(join(dir, "val.jsonl"), lines.slice(10).join("\n"));
  return dir;
}

/** Six steps, measured and saved every third. */
const settings = {
  rank: 2,
  target: ["q_proj"],
  lr: 1e-2,
  dropout: 0.1,
  iters: 6,
  batch: 4,
  eval_every: 3,
  save_every: 3,
};

/**
 * Trains in `dir`/`name`: on `shared`, or on a device of its own with these faults.
 * @param stopAfter the step after which Ctrl-C comes
 * @param heard sees every event as it comes
 */
export async function attempt(
  dir: string,
  name: string,
  where: Device | Faults,
  change: Record<string, unknown> = {},
  stopAfter?: number,
  heard?: (event: Told) => void,
): Promise<Outcome> {
  const out = join(dir, name);
  const all = {
    ...commonSettings.parse({}),
    ...trainSettings.parse({
      ...settings,
      model: dir,
      data: join(dir, "rows.jsonl"),
      val: join(dir, "val.jsonl"),
      output: out,
      ...change,
    }),
    output: out,
  };
  const events: Told[] = [], submits: string[] = [];
  const io = listener(events, stopAfter, heard);
  const shared = where instanceof Device;
  const device = shared ? where : await Device.open({ faults: where });
  const { submit, buffer } = device;
  let allocations = 0, atLoss: string[] | undefined, error: unknown;
  device.submit = (label, commands) => {
    submits.push(label);
    submit.call(device, label, commands);
  };
  device.buffer = (label, bytes) => {
    allocations++;
    return buffer.call(device, label, bytes);
  };
  const destroy = device.gpu.destroy.bind(device.gpu);
  device.gpu.destroy = () => {
    atLoss ??= weightsIn(out);
    return destroy();
  };
  try {
    await train(all, await prepareRun(all, io), io, device);
  } catch (thrown) {
    error = thrown;
  }
  const { peakBytes } = device;
  Object.assign(device, { submit, buffer });
  device.gpu.destroy = destroy;
  if (!shared) device.close();
  return { error, out, events, submits, allocations, peakBytes, atLoss };
}

/** Whatever holds weights in a run folder, with sizes and times. */
export function weightsIn(out: string): string[] {
  if (!existsSync(out)) return [];
  return readdirSync(out, { recursive: true, encoding: "utf8" }).sort()
    .filter((name) => /^checkpoints|^adapter|safetensors/.test(name))
    .map((name) => {
      const { size, mtimeMs } = statSync(join(out, name));
      return `${name} ${size} ${mtimeMs}`;
    });
}

/** Removes a run that is done with. */
export const forget = ({ out }: Outcome) => rmSync(out, { recursive: true, force: true });

function listener(events: Told[], stopAfter?: number, heard?: (event: Told) => void): Io {
  const nothing = () => {};
  const stop: Io["stop"] = { requested: undefined, watched: true };
  const event: Io["event"] = (kind, fields) => {
    const told = { ...fields, event: kind };
    events.push(told);
    heard?.(told);
    if (kind === "step" && fields.step === stopAfter) stop.requested = "SIGINT";
  };
  return {
    json: true,
    quiet: true,
    verbose: false,
    live: false,
    width: 100,
    ascii: true,
    closed: false,
    stop,
    event,
    warn: (code, message, fix) => event("warn", { code, message, fix }),
    out: nothing,
    piece: nothing,
    result: nothing,
    data: nothing,
    note: nothing,
    say: nothing,
    detail: nothing,
    progress: nothing,
    paint: (_, text) => text,
    lines: () => {
      throw new Error("nothing to read");
    },
    close: () => Promise.resolve(),
  };
}
