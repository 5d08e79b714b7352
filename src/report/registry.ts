import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { join, relative, resolve } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { isLocked } from "../base/lock.ts";
import { suggest } from "../base/text.ts";
import { readRun } from "./folder.ts";
import { bestOf, type RunRecord, type Status } from "./record.ts";
import { labelOf, parseLabel, readTags, type Tag } from "./tags.ts";

/** How a run stands: as its manifest says, or "killed" where it says "running" and nothing runs. */
export type Standing = Status | "killed";

/** A run folder that can be read. */
export interface Run {
  /** As seen from the folder it was looked for in. */
  readonly path: string;
  readonly standing: Standing;
  readonly record: RunRecord;
  readonly tags: readonly Tag[];
}

/** A run folder that cannot. */
export interface Damaged {
  readonly path: string;
  readonly problem: string;
}

/** Folders below which nothing is looked for. */
const SKIPPED = new Set(["node_modules", "checkpoints", "tensorboard", "wandb"]);
const DEEPEST = 4;

/** Run folders at and below `root`, four folders deep, as paths that begin with it. */
export function findRuns(root: string): string[] {
  const found: string[] = [];
  const look = (path: string, depth: number) => {
    let entries;
    try {
      entries = readdirSync(path, { withFileTypes: true });
    } catch {
      return; // gone, or not for us to see
    }
    const names = new Set(entries.filter((e) => e.isFile()).map((e) => e.name));
    if (names.has("run.json") && !foreign(path) || names.has("metrics.jsonl") && begunByUs(path)) {
      found.push(path);
    }
    if (depth === DEEPEST) return;
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
      look(join(path, entry.name), depth + 1);
    }
  };
  look(root, 0);
  return found.sort();
}

/** Whether a run.json is whole and yet none of ours: other programs use the name too. */
function foreign(path: string): boolean {
  try {
    const content = JSON.parse(readFileSync(join(path, "run.json"), "utf8"));
    return !(content instanceof Object) || !("format" in content);
  } catch {
    return false; // cannot be told: damaged
  }
}

/** Whether training began the log in a folder; its manifest may be damaged or gone. */
export function begunByUs(path: string): boolean {
  const bytes = new Uint8Array(64);
  try {
    const fd = openSync(join(path, "metrics.jsonl"), "r");
    try {
      readSync(fd, bytes);
      return /^\{"event":"\w+","v":1,/.test(new TextDecoder().decode(bytes));
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

/** Reads a run folder, whatever state it is in. */
export function openRun(path: string): Run | Damaged {
  try {
    const record = readRun(path);
    const { status } = record.manifest;
    const standing = status === "running" && !isLocked(path) ? "killed" : status;
    return { path, standing, record, tags: readTags(path) };
  } catch (error) {
    return { path, problem: error instanceof Error ? error.message : String(error) };
  }
}

export const isRun = (entry: Run | Damaged): entry is Run => "record" in entry;

/**
 * The folder of the run that a person means: a path, the name of a run below `root`, or a tag
 * ("garden:v1.0").
 * @throws Fail (usage) where there is none or there are several
 */
export function runFolder(given: string, root: string): string {
  if (existsSync(join(given, "run.json"))) return given;
  const paths = findRuns(root).filter((path) => meant(path, given));
  if (paths.length > 1) {
    throw new Fail(`there are ${paths.length} runs that ${given} may mean`, {
      why: paths.join(", "),
      fix: "give the path of one",
      exit: Exit.usage,
    });
  }
  if (paths.length === 1) return paths[0]!;
  const names = findRuns(root).flatMap((path) => [nameOf(path), ...readTags(path).map(labelOf)]);
  const near = suggest(given, names);
  throw new Fail(`there is no run ${given}`, {
    why: near
      ? `did you mean ${near}?`
      : `neither a run folder, nor the name or tag of one below ${resolve(root)}`,
    fix: "whet runs ls",
    exit: Exit.usage,
  });
}

/** The run that a person means. @throws Fail (usage) as {@link runFolder}; (data) where it is damaged */
export function theRun(given: string, root: string): Run {
  const run = openRun(runFolder(given, root));
  if (isRun(run)) return run;
  throw new Fail(`the run in ${run.path} is damaged`, {
    why: run.problem,
    fix: "checkpoints and weights in it may still be whole: whet export, whet train sft --resume",
    exit: Exit.data,
  });
}

const nameOf = (path: string) => resolve(path).split(/[\\/]/).at(-1)!;

function meant(path: string, given: string): boolean {
  if (nameOf(path) === given) return true;
  const label = parseLabel(given, nameOf(path));
  return readTags(path).some((tag) =>
    labelOf(tag) === given || label && labelOf(tag) === labelOf(label)
  );
}

/** What a list of runs shows of one; losses in nats per supervised token. */
export interface Summary {
  readonly path: string;
  readonly name: string;
  readonly status: Standing | "damaged";
  readonly problem?: string;
  readonly kind?: string;
  readonly model?: string;
  readonly started?: string;
  readonly step?: number;
  readonly steps?: number;
  readonly val_loss?: number;
  readonly best?: number;
  readonly best_step?: number;
  readonly seconds?: number;
  readonly bytes: number;
  readonly tags: readonly string[];
}

export function summaryOf(entry: Run | Damaged): Summary {
  const { path } = entry;
  const base = { path, name: nameOf(path), bytes: sizeOf(path) };
  if (!isRun(entry)) return { ...base, status: "damaged", problem: entry.problem, tags: [] };
  const { record: { manifest, steps, evals }, standing, tags } = entry;
  const best = bestOf(evals);
  // Not by the clock, which may have been set: what the steps and measurements took.
  const spent = [...steps, ...evals].reduce((sum, { ms }) => sum + (ms || 0), 0) / 1000;
  return {
    ...base,
    status: standing,
    kind: manifest.kind,
    model: nameOf(manifest.model.path),
    started: manifest.started,
    step: steps.at(-1)?.step ?? 0,
    steps: manifest.steps,
    val_loss: evals.at(-1)?.val_loss,
    best: best?.val_loss,
    best_step: best?.step,
    seconds: manifest.seconds ?? spent,
    tags: tags.map(labelOf),
  };
}

/** Bytes of all files of a folder. */
export function sizeOf(path: string): number {
  let bytes = 0;
  for (const file of filesOf(path)) {
    try {
      bytes += statSync(join(path, file)).size;
    } catch {
      // removed meanwhile
    }
  }
  return bytes;
}

/** The files in a folder and below, as paths within it; links are not followed. */
export function filesOf(path: string): string[] {
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(path, join(entry.parentPath, entry.name)));
  } catch {
    return [];
  }
}
