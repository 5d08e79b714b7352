import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { otherFormat } from "../../base/folder.ts";

/** What a stage was made from, by the words people have for it: hashes of files, values of settings. */
export type Inputs = Readonly<Record<string, string>>;

/** How a stage stood when it was last seen. */
export interface StageRecord {
  readonly status: "begun" | "done" | "empty";
  readonly inputs: Inputs;
  /** Identity of the output that was there when the stage began, where one was. */
  readonly before?: string;
  /** Identity of what it made. */
  readonly output?: string;
  /** Of all its sittings. */
  readonly seconds?: number;
  /** For people: "2,700 rows". */
  readonly result?: string;
  /** ISO 8601, UTC. */
  readonly finished?: string;
}

/** What a named training was asked for; it is remembered, so that later commands need not repeat it. */
export interface Asked {
  readonly num?: number;
  readonly quant?: string;
  readonly model?: string;
  readonly teacher?: string;
  readonly pairs?: number;
}

/** training/models/NAME/pipeline.json. */
export interface PipelineRecord {
  readonly format: 1;
  readonly asked: Asked;
  /** By stage; those of a GGUF file by stage and number format: "quantize q4_k_m". */
  readonly stages: Readonly<Record<string, StageRecord>>;
}

/**
 * Reads pipeline.json. One that is gone or damaged is as none: the outputs speak for themselves.
 * @throws Fail (disk) for one of a newer format
 */
export function readRecord(path: string): PipelineRecord {
  const none: PipelineRecord = { format: 1, asked: {}, stages: {} };
  if (!existsSync(path)) return none;
  let found: PipelineRecord;
  try {
    found = { ...none, ...JSON.parse(readFileSync(path, "utf8")) };
  } catch {
    return none;
  }
  if (found.format !== 1) throw otherFormat(path, found.format, 1);
  return found;
}

export async function writeRecord(path: string, record: PipelineRecord): Promise<void> {
  await writeFile(path, JSON.stringify(record, null, 2) + "\n");
}

/** What differs between then and now, in words; nothing where all is the same. */
export function changes(then: Inputs, now: Inputs): string[] {
  return [...new Set([...Object.keys(then), ...Object.keys(now)])].flatMap((key) => {
    const [was, is] = [then[key], now[key]];
    if (was === is) return [];
    const hash = /^[0-9a-f]{64}/.test(was ?? is ?? "");
    if (!hash) return [`${key}: ${was ?? "as usual"} -> ${is ?? "as usual"}`];
    return [`${key}: ${was === undefined ? "new" : is === undefined ? "gone" : "changed"}`];
  });
}
