import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";
import { otherFormat } from "../../base/folder.ts";
import {
  latestCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  type TrainingState,
} from "../../formats/checkpoint.ts";
import type { Tuned } from "../../gpu/device.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { Field } from "../../settings/field.ts";
import type { TrainSettings } from "../../settings/train.ts";
import type { Best } from "../../trainer/loop.ts";
import { again } from "../../trainer/prepare.ts";
import { objectiveOf } from "../../trainer/program.ts";
import type { Trainer } from "../../trainer/trainer.ts";
import type { Io } from "../io.ts";
import { requireFit } from "./memory_told.ts";
import { fieldsFor } from "./objectives.ts";
import type { PreparedRun } from "./prepared.ts";

type Settings = TrainSettings & CommonSettings & { readonly output: string };

/** Settings that a resumed run must have the same; those of rows are compared by what became of the rows. */
const numericFields = ({ prepared }: PreparedRun): Field[] =>
  fieldsFor(objectiveOf(prepared.recipe).kind).filter(({ info: { changes } }) =>
    changes === "values" || changes === "shapes"
  );

/** Their values in a run. */
function numeric(settings: Settings, run: PreparedRun): Record<string, unknown> {
  const all: Readonly<Record<string, unknown>> = { ...settings, target: run.targets };
  return Object.fromEntries(numericFields(run).map(({ key }) => [key, all[key]]));
}

interface Cursor {
  readonly step: number;
  readonly best: Best | undefined;
  readonly worse: number;
}

/** What a checkpoint keeps of a run. */
export function stateOf(
  settings: Settings,
  run: PreparedRun,
  trainer: Trainer,
  progress: Cursor & {
    readonly trackers: Readonly<Record<string, unknown>>;
    readonly kernels: Tuned;
    readonly began: Began;
    readonly tensors: ReadonlyMap<string, { w: Float32Array; m: Float32Array; v: Float32Array }>;
  },
): TrainingState {
  const { data, validation, prepared } = run;
  const shapes = new Map(trainer.trained.map((t) => [t.name, t.shape]));
  return {
    step: progress.step,
    tensors: new Map(
      [...progress.tensors].map(([name, t]) => [name, { ...t, shape: shapes.get(name)! }] as const),
    ),
    cursor: { step: progress.step },
    settings: numeric(settings, run),
    dataHash: data!.facts.sha256!,
    history: null,
    best: progress.best ?? null,
    extra: {
      ...progress.began,
      worse: progress.worse,
      model: prepared.model.folder.hash(),
      steps: prepared.batches.steps,
      micro_tokens: prepared.recipe.size.tokens,
      tokens: data!.facts.tokens_sha256!,
      validation: validation?.facts.sha256 ?? null,
      date: run.date ?? null,
      trackers: progress.trackers,
      kernels: progress.kernels,
    } satisfies Extra,
  };
}

/** When a run was begun, and how long its sittings have taken so far. */
export interface Began {
  /** ISO 8601, UTC: as the clock said then. */
  readonly started: string;
  readonly seconds: number;
}

/** What a checkpoint holds besides what every checkpoint does. */
interface Extra extends Began {
  /** Measurements since the best one. */
  readonly worse: number;
  /** SHA-256 of the base model. */
  readonly model: string;
  /** Steps that the run was to have. */
  readonly steps: number;
  readonly micro_tokens: number;
  /** SHA-256 of the rows as the model sees them. */
  readonly tokens: string;
  /** SHA-256 of the validation rows; null where there were none. */
  readonly validation: string | null;
  /** The day that the chat template showed, where it shows one. */
  readonly date: string | null;
  readonly trackers: Readonly<Record<string, unknown>>;
  /** What it was computed with. */
  readonly kernels: Tuned;
}

const extraOf = (state: Pick<TrainingState, "extra">) => state.extra as Extra;

/** Where a run goes on from. */
export interface From {
  readonly step: number;
  readonly tensors: TrainingState["tensors"];
  readonly best: Best | null | undefined;
  readonly worse: number;
  /** The run with the micro-batches that it was begun with. */
  readonly run: PreparedRun;
  readonly trackers: Readonly<Record<string, unknown>>;
  /** What it was computed with. */
  readonly kernels: Tuned;
  readonly began: Began;
}

/**
 * The checkpoint to go on from, where --resume asks for one.
 * @throws Fail (usage) (data) (disk) where there is none, or it is of a run with other numbers
 */
export async function resumed(
  settings: Settings,
  planned: PreparedRun,
  io: Io,
): Promise<From | undefined> {
  const { resume, output } = settings;
  if (resume === undefined) return undefined;
  const { format, ...before } = recorded(output);
  // It would be written over.
  if (format !== 1) throw otherFormat(join(output, "run.json"), format, 1);
  const warn = (message: string) => io.warn("WH1202", message);
  const folder = resume === "auto" ? output : resume;
  const path = existsSync(join(folder, "state.json"))
    ? folder
    : await latestCheckpoint(folder, warn);
  if (path === undefined) {
    if (resume === "auto") {
      io.note("nothing to resume yet: starting anew");
      return undefined;
    }
    throw new Fail(`${resume} holds no checkpoint`, {
      why: "neither a run folder with checkpoints/ nor a checkpoint",
      fix: "name OUT or OUT/checkpoints/step-N, or --resume alone for the newest in -o",
      exit: Exit.usage,
    });
  }
  const state = await loadCheckpoint(path);
  const { micro_tokens, worse, trackers, kernels, started, seconds } = extraOf(state);
  // Other micro-batches would add in another order: memory that is there now must not change the numbers.
  const pinned = settings.micro_tokens ?? micro_tokens;
  const run = pinned === planned.prepared.recipe.size.tokens
    ? planned
    : { ...planned, prepared: again(planned.prepared, { micro_tokens: pinned }) };
  compare(settings, run, state, io);
  requireFit(run, { ...settings, micro_tokens: pinned });
  requireWork(settings, run, path, state);
  io.note(`resuming from ${path}, step ${state.step}`);
  // Values of two measures, or of other rows, cannot be compared.
  const comparable = measuredOn(run) === extraOf(state).validation &&
    (state.settings as { best: string }).best === settings.best;
  return {
    step: state.step,
    tensors: state.tensors,
    best: comparable ? state.best as Best | null : null,
    worse: comparable ? worse : 0,
    run,
    trackers,
    kernels,
    // What was written after the checkpoint took its time too, where that is known.
    began: {
      started,
      seconds: before.started === started ? Math.max(seconds, before.seconds ?? 0) : seconds,
    },
  };
}

/**
 * A run that was killed after its last step has yet to write its weights; one that has is over.
 * @throws Fail (usage) where nothing is left to do
 */
function requireWork(settings: Settings, run: PreparedRun, path: string, state: TrainingState) {
  const { steps } = run.prepared.batches, { patience = Infinity } = settings;
  const all = state.step >= steps, early = extraOf(state).worse >= patience;
  if (!all && !early || !["finished", "early"].includes(recorded(settings.output).status)) return;
  throw new Fail(
    all
      ? `${path} has all ${state.step} steps of this run`
      : `${path} is where the run stopped early`,
    {
      why: all
        ? `the settings ask for ${steps} steps`
        : `--patience ${patience}: so many measurements were no better`,
      fix: all
        ? "train longer with a larger --epochs or --iters"
        : "go on with a larger --patience",
      exit: Exit.usage,
    },
  );
}

/** SHA-256 of the validation rows; null where there are none. */
const measuredOn = ({ validation }: PreparedRun) => validation?.facts.sha256 ?? null;

/** What the run.json of a folder says: nothing where it is gone or damaged, for it is written anew. */
function recorded(
  output: string,
): Partial<Began> & { readonly format: unknown; readonly status: string } {
  const none = { format: 1, status: "" };
  try {
    return { ...none, ...JSON.parse(readFileSync(join(output, "run.json"), "utf8")) };
  } catch {
    return none;
  }
}

/** The day that the chat template showed when the run that is to be resumed was begun. */
export function dateOf({ resume, output }: Pick<TrainSettings, "resume" | "output">) {
  if (resume === undefined) return undefined;
  const newest = listCheckpoints(resume === "auto" ? output ?? "" : resume)[0]?.path ?? resume;
  try {
    const state = JSON.parse(readFileSync(join(newest, "state.json"), "utf8"));
    return extraOf(state).date ?? undefined;
  } catch {
    return undefined; // what is wrong with it is said when it is loaded
  }
}

/** Refuses to go on with other rows, another model, or settings that would give other numbers. */
function compare(
  settings: Settings,
  run: PreparedRun,
  state: TrainingState,
  io: Io,
) {
  const { data, prepared } = run;
  if (state.dataHash !== data!.facts.sha256) {
    throw new Fail(`the rows of ${settings.data} are not those that the run was begun with`, {
      why: `their content has SHA-256 ${data!.facts.sha256!.slice(0, 12)}…, the run's had ${
        state.dataHash.slice(0, 12)
      }…`,
      fix: "resume with the same rows; to train further on others: --init-adapter and a new -o",
      exit: Exit.data,
    });
  }
  const { model, steps, micro_tokens, tokens, validation } = extraOf(state);
  if (model !== prepared.model.folder.hash()) {
    throw new Fail(`${settings.model} is not the model that the run was begun with`, {
      why: "its config or weights differ",
      fix: "resume with the same base model",
      exit: Exit.data,
    });
  }
  if (steps !== prepared.batches.steps && settings.scheduler !== "constant") {
    io.warn(
      "WH0215",
      `the run has ${prepared.batches.steps} steps now, it was begun with ${steps}: the learning ` +
        "rate goes on as in a run of the new length",
    );
  }
  const before = state.settings as Readonly<Record<string, unknown>>;
  const now = numeric(settings, run);
  // Checkpoints from before there was a choice do not speak of it: they were made with the default.
  const different = numericFields(run).map((field) => ({
    ...field,
    was: JSON.stringify(before[field.key] ?? field.default),
    is: JSON.stringify(now[field.key]),
  })).filter(({ was, is }) => was !== is);
  const reshaped = different.some(({ info }) => info.changes === "shapes");
  const changed = different.map(({ key, was, is }) => `${key}: ${was} -> ${is}`);
  if (micro_tokens !== prepared.recipe.size.tokens) {
    changed.push(`micro_tokens: ${micro_tokens} -> ${prepared.recipe.size.tokens}`);
  }
  if (validation !== measuredOn(run)) {
    const told = (sha256: string | null) => sha256 ? `rows ${sha256.slice(0, 12)}…` : "none";
    changed.push(`validation: ${told(validation)} -> ${told(measuredOn(run))}`);
  }
  if (changed.length > 0 && (reshaped || !settings.allow_change)) {
    throw new Fail("resuming with settings that change the numbers", {
      why: changed.join("\n"),
      fix: reshaped
        ? "the trained weights would have other shapes: begin a new run"
        : "put them back, or accept the change with --allow-change",
      exit: Exit.usage,
    });
  }
  if (tokens !== data!.facts.tokens_sha256) {
    throw new Fail(`the rows of ${settings.data} become other tokens than when the run was begun`, {
      why: "the tokenizer, --template, --date, --max-seq, --overlong or --loss-on is another one",
      fix: "put it back, or begin a new run with another -o",
      exit: Exit.data,
    });
  }
  if (changed.length > 0) {
    io.warn("WH0215", `resuming with changed settings: ${changed.join("; ")}`);
  }
}
