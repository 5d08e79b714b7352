import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type LineLog, openLog, writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { modelCard } from "./card.ts";
import { reportHtml } from "./html.ts";
import { reportMarkdown } from "./markdown.ts";
import { type Manifest, recordOf, type RunEvent, type RunRecord } from "./record.ts";
import { addExport, type ExportEntry, readExports } from "./exports.ts";
import { readTags } from "./tags.ts";
import { trainingArgs } from "./training_args.ts";

/**
 * What a run leaves in its folder besides weights: run.json at the start and at the end, metrics.jsonl as
 * it happens, and at the end training_args.json, README.md, report.html and
 * report.md.
 */
export class RunFolder {
  #manifest: Manifest;
  #closed = false;

  private constructor(
    readonly path: string,
    manifest: Manifest,
    private readonly log: LineLog,
  ) {
    this.#manifest = manifest;
  }

  /** Starts or goes on with a run folder. @throws Fail (disk) where it cannot be written */
  static async open(path: string, manifest: Manifest): Promise<RunFolder> {
    await writeFile(join(path, "run.json"), json(manifest));
    return new RunFolder(path, manifest, await openLog(join(path, "metrics.jsonl")));
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  /** Appends one event, at once; a full disk loses lines but does not stop the run. */
  event(kind: string, fields: Readonly<Record<string, unknown>>): void {
    this.log.append(JSON.stringify({ event: kind, v: 1, ...fields }));
  }

  /**
   * Completes run.json and writes the files for people; with more to say, again.
   * @returns what they were made from
   */
  async finish(changes: Partial<Manifest>): Promise<RunRecord> {
    this.#manifest = { ...this.#manifest, ...changes };
    if (!this.#closed) await this.log.close();
    this.#closed = true;
    await writeFile(join(this.path, "run.json"), json(this.#manifest));
    const record = readRun(this.path);
    await writeFile(join(this.path, "training_args.json"), json(trainingArgs(this.#manifest)));
    await writeReport(this.path, record);
    return record;
  }
}

/** What people read of a run: the model card, and the report in both its forms. */
export async function writeReport(path: string, record: RunRecord): Promise<void> {
  await writeFile(join(path, "README.md"), modelCard(record));
  await writeFile(join(path, "report.html"), reportHtml(record));
  await writeFile(join(path, "report.md"), reportMarkdown(record));
}

/** Notes what was exported from a run that has ended, also in its model card. */
export async function noteExport(path: string, entry: ExportEntry): Promise<void> {
  await addExport(path, entry);
  const record = readRun(path);
  if (record.manifest.adapter) await writeFile(join(path, "README.md"), modelCard(record));
}

/**
 * Reads a run's record back from its folder. Lines that a crash cut short are passed over.
 * @throws Fail (data) where the folder holds no run, or one of a newer format
 */
export function readRun(path: string): RunRecord {
  const file = join(path, "run.json");
  if (!existsSync(file)) {
    throw new Fail(`${path} holds no run`, {
      why: "there is no run.json in it",
      fix: "name the folder that whet train wrote with -o",
      exit: Exit.data,
    });
  }
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Fail(`${file} cannot be read`, {
      why: String(error),
      fix: "the run must be made again",
      exit: Exit.data,
      cause: error,
    });
  }
  if (manifest?.format !== 1) {
    throw new Fail(`${file} has format ${manifest?.format}`, {
      why: "it was written by a newer whet; this one reads format 1",
      fix: "use the newer whet",
      exit: Exit.data,
    });
  }
  const lacking = NEEDED.find(([key, type]) => kindOf(at(manifest, key)) !== type);
  if (lacking) {
    throw new Fail(`${file} is not what training wrote`, {
      why: `${lacking[0]} is not a ${lacking[1]}`,
      fix: "the run must be made again",
      exit: Exit.data,
    });
  }
  const record = recordOf(manifest, eventsOf(join(path, "metrics.jsonl")));
  return { ...record, tags: readTags(path), exports: readExports(path) };
}

/** What every reader of a manifest takes for granted. */
const NEEDED: readonly [key: string, type: "string" | "number" | "object"][] = [
  ["kind", "string"],
  ["name", "string"],
  ["status", "string"],
  ["started", "string"],
  ["steps", "number"],
  ["settings", "object"],
  ["device", "object"],
  ["whet.version", "string"],
  ["model.path", "string"],
  ["data.path", "string"],
  ["data.rows", "number"],
];

const kindOf = (value: unknown) => value === null ? "null" : typeof value;

function at(value: unknown, key: string): unknown {
  return key.split(".").reduce(
    (inner, part) => (inner as Record<string, unknown> | null | undefined)?.[part],
    value,
  );
}

function* eventsOf(path: string): Generator<RunEvent> {
  if (!existsSync(path)) return;
  for (const line of readFileSync(path, "utf8").split("\n")) {
    try {
      if (line) yield JSON.parse(line) as RunEvent;
    } catch {
      // cut short by a crash
    }
  }
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + "\n";
}
