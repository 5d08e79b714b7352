import { existsSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { latestCheckpoint, loadCheckpoint, type TrainingState } from "../formats/checkpoint.ts";
import type { Tuned } from "../gpu/device.ts";
import type { CommonSettings } from "../settings/common.ts";
import { type Field, fieldsOf } from "../settings/field.ts";
import { type TrainSettings, trainSettings } from "../settings/train.ts";
import type { Best } from "../trainer/loop.ts";
import { again } from "../trainer/prepare.ts";
import type { Trainer } from "../trainer/trainer.ts";
import type { Io } from "./io.ts";
import { requireFit } from "./plan.ts";
import type { PreparedRun } from "./prepared.ts";

type Settings = TrainSettings & CommonSettings & { readonly output: string };

/** Settings that a resumed run must have the same; those of rows are compared by what became of the rows. */
const NUMERIC: readonly Field[] = fieldsOf(trainSettings).filter(({ info: { changes } }) =>
  changes === "values" || changes === "shapes"
);

/** Their values in a run. */
function numeric(settings: Settings, { targets }: PreparedRun): Record<string, unknown> {
  const all: Readonly<Record<string, unknown>> = { ...settings, target: targets };
  return Object.fromEntries(NUMERIC.map(({ key }) => [key, all[key]]));
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
    readonly tensors: ReadonlyMap<string, { w: Float32Array; m: Float32Array; v: Float32Array }>;
  },
): TrainingState {
  const { data, prepared } = run;
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
      worse: progress.worse,
      model: prepared.model.folder.hash(),
      steps: prepared.batches.steps,
      micro_tokens: prepared.recipe.size.tokens,
      tokens: data!.facts.tokens_sha256,
      trackers: progress.trackers,
      kernels: progress.kernels,
    },
  };
}

/** Where a run goes on from. */
export interface From {
  readonly step: number;
  readonly tensors: TrainingState["tensors"];
  readonly best: Best | null | undefined;
  readonly worse: number;
  /** The run with the micro-batches that it was begun with. */
  readonly run: PreparedRun;
  readonly trackers: Readonly<Record<string, unknown>> | undefined;
  /** What it was computed with. */
  readonly kernels: Tuned;
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
  const { micro_tokens } = state.extra as { micro_tokens?: number };
  // Other micro-batches would add in another order: memory that is there now must not change the numbers.
  const pinned = settings.micro_tokens ?? micro_tokens;
  const run = pinned === planned.prepared.recipe.size.tokens
    ? planned
    : { ...planned, prepared: again(planned.prepared, { micro_tokens: pinned }) };
  compare(settings, run, state, io);
  requireFit(run, { ...settings, micro_tokens: pinned });
  if (state.step >= run.prepared.batches.steps) {
    throw new Fail(`${path} has all ${state.step} steps of this run`, {
      why: `the settings ask for ${run.prepared.batches.steps} steps`,
      fix: "train longer with a larger --epochs or --iters",
      exit: Exit.usage,
    });
  }
  io.note(`resuming from ${path}, step ${state.step}`);
  // Checkpoints from before kernels were chosen by measuring were made with the defaults.
  const { worse, trackers, kernels = {} } = state.extra as
    & Pick<From, "worse" | "trackers">
    & Partial<Pick<From, "kernels">>;
  return {
    step: state.step,
    tensors: state.tensors,
    // Values of two measures cannot be compared.
    best: bestBy(state) === settings.best ? state.best as Best | null : null,
    worse,
    run,
    trackers,
    kernels,
  };
}

/** The measure that a run was judged by. */
const bestBy = ({ settings }: TrainingState) => (settings as { best?: string }).best;

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
  if ((state.extra as { model: string }).model !== prepared.model.folder.hash()) {
    throw new Fail(`${settings.model} is not the model that the run was begun with`, {
      why: "its config or weights differ",
      fix: "resume with the same base model",
      exit: Exit.data,
    });
  }
  const { steps, tokens } = state.extra as { steps?: number; tokens?: string };
  if (
    steps !== undefined && steps !== prepared.batches.steps && settings.scheduler !== "constant"
  ) {
    io.warn(
      "WH0215",
      `the run has ${prepared.batches.steps} steps now, it was begun with ${steps}: the learning ` +
        "rate goes on as in a run of the new length",
    );
  }
  const before = state.settings as Readonly<Record<string, unknown>>;
  const now = numeric(settings, run);
  // Checkpoints from before there was a choice do not speak of it: they were made with the default.
  const different = NUMERIC.map((field) => ({
    ...field,
    was: JSON.stringify(before[field.key] ?? field.default),
    is: JSON.stringify(now[field.key]),
  })).filter(({ was, is }) => was !== is);
  const reshaped = different.some(({ info }) => info.changes === "shapes");
  const changed = different.map(({ key, was, is }) => `${key}: ${was} -> ${is}`);
  const { micro_tokens = prepared.recipe.size.tokens } = state.extra as { micro_tokens?: number };
  if (micro_tokens !== prepared.recipe.size.tokens) {
    changed.push(`micro_tokens: ${micro_tokens} -> ${prepared.recipe.size.tokens}`);
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
  if (tokens !== undefined && tokens !== data!.facts.tokens_sha256) {
    throw new Fail(`the rows of ${settings.data} become other tokens than when the run was begun`, {
      why: "the tokenizer, --template, --max-seq, --overlong or --loss-on is another one",
      fix: "put it back, or begin a new run with another -o",
      exit: Exit.data,
    });
  }
  if (changed.length > 0) {
    io.warn("WH0215", `resuming with changed settings: ${changed.join("; ")}`);
  }
}
