import { constants, copyFileSync, existsSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { asideOf } from "../../base/folder.ts";
import { lockFolder } from "../../base/lock.ts";
import { columns, humanSeconds } from "../../base/text.ts";
import { type CommonSettings, commonSettings } from "../../settings/common.ts";
import { type PipelineSettings, type StageName, STAGES } from "../../settings/pipeline.ts";
import type { Io } from "../io.ts";
import { findSchema } from "../data/schemas.ts";
import {
  type Asked,
  type PipelineRecord,
  readRecord,
  type StageRecord,
  writeRecord,
} from "./record.ts";
import { type Pipeline, placesOf, type Stage } from "./stage.ts";
import { stages } from "./stages.ts";
import { keyOf, type State, stateOf } from "./state.ts";

type Settings = PipelineSettings & CommonSettings;

/** What is meant where nobody has said anything. */
const USUAL = { num: 3000, quant: "q4_k_m", teacher: "template", pairs: 1000 };

/** A line of the table at the end. */
interface Line {
  readonly stage: StageName;
  readonly status: "done" | "kept" | "stale" | "left out" | "stopped" | "planned";
  readonly seconds?: number;
  readonly result: string;
  readonly path: string;
}

/** A named training as it was asked for before and is now. */
export function pipelineOf(
  settings: Settings,
): { pipeline: Pipeline; record: PipelineRecord } {
  const { name, num, quant, model, teacher, pairs } = settings;
  const common = commonOf(settings);
  const record = readRecord(placesOf(name, USUAL.quant).record);
  const now = { num, quant, model, teacher, pairs };
  const said = Object.fromEntries(Object.entries(now).filter(([, value]) => value !== undefined));
  const before: Asked = { ...record.asked, ...said };
  const asked = { model: undefined, ...USUAL, ...before };
  return {
    pipeline: { name, asked, common, places: placesOf(name, asked.quant) },
    record: { ...record, asked: before },
  };
}

/** Settings of every command, which the commands of the stages get too. */
function commonOf(settings: Settings): CommonSettings {
  const all: Readonly<Record<string, unknown>> = settings;
  const keys = Object.keys(commonSettings.shape);
  return Object.fromEntries(keys.map((key) => [key, all[key]])) as CommonSettings;
}

/**
 * Runs the chosen stages of a named training in their order: those that are missing or begun, and with
 * --force all of them.
 * @throws Fail: those of the stages' commands
 */
export async function runPipeline(settings: Settings, io: Io): Promise<void> {
  const chosen = chosenOf(settings);
  const { pipeline: p, record } = pipelineOf(settings);
  const schema = findSchema(settings.name).schema;
  if (settings.dry_run) return await plan(p, record, chosen, settings, io);
  await checkAll(p, record, chosen, settings);
  using _lock = await lock(p);
  if (!existsSync(p.places.schema)) {
    await writeFile(p.places.schema, schema.text);
    io.note(`${p.places.schema} written: it is shipped with whet, and yours to change`);
  }
  // Another program may just have gone on with it.
  const book = new Book(p, pipelineOf(settings).record);
  await book.save();
  const lines: Line[] = [];
  for (const [i, stage] of stages.entries()) {
    if (!chosen.includes(stage.name)) continue;
    if (io.stop.requested || lines.at(-1)?.status === "stopped") break;
    const state = await stateOf(stage, p, book.record);
    io.note(io.paint("bold", `\n${i + 1}  ${TITLES[stage.name]}`));
    const free = settings.force && state.kind !== "idle";
    const there = free ? undefined : settled(stage, state, p, io);
    if (there && state.record?.status === "begun" && state.output) {
      await book.keep(stage, after(state));
    }
    if (there) {
      const { status, result, path } = there;
      io.event("stage", { stage: stage.name, status, result, path });
    }
    lines.push(there ?? await make(stage, state, settings.force, book, io));
  }
  tell(p, lines, io);
}

/** pipeline.json while a pipeline runs. */
class Book {
  constructor(readonly p: Pipeline, public record: PipelineRecord) {}

  async save() {
    await writeRecord(this.p.places.record, this.record);
  }

  /** Writes down how a stage stands; undefined strikes it out. */
  async keep(stage: Stage, state: StageRecord | undefined) {
    const key = keyOf(stage, this.p);
    const { [key]: _, ...others } = this.record.stages;
    this.record = { ...this.record, stages: state ? { ...others, [key]: state } : others };
    await this.save();
  }
}

/** Makes what a stage makes, anew or from where it was interrupted. */
async function make(stage: Stage, state: State, force: boolean, book: Book, io: Io): Promise<Line> {
  const { p } = book;
  const path = stage.place(p), inputs = await stage.inputs(p);
  const again = force || (state.kind === "begun" && state.output !== undefined);
  const before = again ? state.output : undefined;
  const sittings = again ? 0 : state.record?.seconds ?? 0, began = performance.now();
  const seconds = () => sittings + (performance.now() - began) / 1000;
  io.event("stage", { stage: stage.name, status: "begin", again, path });
  await book.keep(stage, { status: "begun", inputs, before, seconds: sittings });
  if (again && state.kind === "found") copyAside(stage, p, io);
  const { result, empty, unfinished, value } = await stage.run(p, again, io).catch(
    async (error: unknown) => {
      const now = await stage.output(p);
      // What was there is as it was; what was made and found wanting is not finished.
      if (before !== undefined && now === before) await book.keep(stage, state.record);
      else await book.keep(stage, { status: "begun", inputs, before: now, seconds: seconds() });
      throw error;
    },
  );
  const status = unfinished ? "stopped" : empty ? "left out" : "done";
  await book.keep(stage, {
    status: unfinished ? "begun" : empty ? "empty" : "done",
    inputs,
    ...(unfinished
      ? { before }
      : { output: await stage.output(p), finished: new Date().toISOString() }),
    seconds: seconds(),
    result,
  });
  const line = { stage: stage.name, status, seconds: seconds(), result, path } as const;
  io.event("stage", { ...line, value });
  return line;
}

/** Files that no pipeline made are not lost to --force. */
function copyAside(stage: Stage, p: Pipeline, io: Io) {
  for (const path of (stage.over?.(p) ?? []).filter((path) => existsSync(path))) {
    const copy = asideOf(path);
    copyFileSync(path, copy, constants.COPYFILE_FICLONE);
    io.note(`${path} was not from this pipeline: there is a copy, ${copy}`);
  }
}

/** Two programs on one training would write over each other. @throws Fail (disk) naming the other */
async function lock({ places }: Pipeline): Promise<Disposable> {
  try {
    return await lockFolder(places.models);
  } catch (error) {
    if (!(error instanceof Fail) || !error.message.includes(" is in use by ")) throw error;
    const fix = "wait for it or stop it; the same command then goes on";
    throw new Fail(error.message, { ...error, fix, cause: error });
  }
}

/** What would stop a later stage is told before the first one takes its hours. */
async function checkAll(
  p: Pipeline,
  record: PipelineRecord,
  chosen: readonly StageName[],
  { force }: Settings,
) {
  for (const stage of stages.filter(({ name, check }) => check && chosen.includes(name))) {
    const { kind } = await stateOf(stage, p, record);
    if (force || kind === "missing" || kind === "begun") stage.check!(p);
  }
}

const TITLES: Readonly<Record<StageName, string>> = {
  generate: "Rows",
  sft: "Supervised fine-tuning",
  preferences: "Preferences",
  dpo: "Direct preference optimisation",
  quantize: "GGUF",
  eval: "Evaluation",
};

function chosenOf({ stage, from = "generate", to = "eval" }: Settings): readonly StageName[] {
  if (stage) return [stage];
  const [first, last] = [STAGES.indexOf(from), STAGES.indexOf(to)];
  if (first <= last) return STAGES.slice(first, last + 1);
  throw new Fail(`--from ${from} comes after --to ${to}`, {
    why: `the stages are ${STAGES.join(", ")}, in this order`,
    fix: `--from ${to} --to ${from}, or one alone with --stage`,
    exit: Exit.usage,
  });
}

/** The line of a stage that need not run, said plainly; undefined where it has to. */
function settled(stage: Stage, state: State, p: Pipeline, io: Io): Line | undefined {
  const { kind, result = "", changed, record } = state;
  const path = stage.place(p), line = { stage: stage.name, path, seconds: record?.seconds };
  const force = `whet pipeline ${p.name} --from ${stage.name} --force`;
  switch (kind) {
    case "done": {
      const when = record?.finished
        ? `, made ${record.finished.slice(0, 16).replace("T", " ")}`
        : "";
      io.note(`${path} is there already${when}: ${result}`);
      return { ...line, status: "kept", result };
    }
    case "found":
      io.note(`${path} is there already, not from this pipeline: ${result}`);
      return { ...line, status: "kept", result };
    case "stale":
      io.warn("WH0220", `${path} was made from something else: ${changed.join("; ")}`, force);
      return { ...line, status: "stale", result: `${result}; ${changed.join("; ")}` };
    case "empty":
      io.note(`${result}`);
      return { ...line, status: "left out", result };
    case "idle":
      io.note(`left out: ${result}`);
      return { ...line, seconds: undefined, status: "left out", result };
    case "begun":
      if (stage.resumes && changed.length > 0 && existsSync(path)) {
        throw new Fail(`${path} was begun with something else`, {
          why: changed.join("; "),
          fix: `put it back to go on, or begin it anew: ${force}`,
          exit: Exit.usage,
        });
      }
      return undefined;
    default:
      return undefined;
  }
}

/** What is recorded of a stage that had come to its end when it was killed. */
function after({ record, output, result, changed, inputs }: State) {
  return {
    ...record!,
    status: "done" as const,
    output,
    result,
    before: undefined,
    finished: new Date().toISOString(),
    inputs: changed.length > 0 ? record!.inputs : inputs ?? record!.inputs,
  };
}

/** --dry-run: what would be done. */
async function plan(
  p: Pipeline,
  record: PipelineRecord,
  chosen: readonly StageName[],
  { force }: Settings,
  io: Io,
) {
  const lines: Line[] = [];
  for (const stage of stages.filter(({ name }) => chosen.includes(name))) {
    const { kind, result = "", changed } = await stateOf(stage, p, record);
    const runs = force || kind === "missing" || kind === "begun";
    lines.push({
      stage: stage.name,
      status: runs
        ? "planned"
        : kind === "stale"
        ? "stale"
        : kind === "done" || kind === "found"
        ? "kept"
        : "left out",
      result: kind === "begun" ? "goes on" : runs ? "" : [result, ...changed].join("; "),
      path: stage.place(p),
    });
  }
  tell(p, lines, io);
}

function tell({ name, asked }: Pipeline, lines: readonly Line[], io: Io) {
  io.result({ pipeline: name, ...asked, stages: lines });
  const rows = lines.map(({ stage, status, seconds, result, path }) => [
    stage,
    status,
    seconds === undefined ? "" : humanSeconds(seconds),
    result,
    path,
  ]);
  io.out(`\n${columns([["stage", "", "time", "result", "where"], ...rows], [2])}`);
  if (lines.at(-1)?.status === "stopped") io.out("the same command goes on");
}
