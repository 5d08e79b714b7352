import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { commit } from "../base/assets.ts";
import { makeFolder } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { lockFolder } from "../base/lock.ts";
import { excerpt, humanSeconds, plural, short } from "../base/text.ts";
import {
  latestCheckpoint,
  loadCheckpoint,
  saveCheckpoint,
  type TrainingState,
} from "../formats/checkpoint.ts";
import { checkFit, loraDefaults, readAdapter, writeAdapter } from "../formats/peft.ts";
import type { Device, Tuned } from "../gpu/device.ts";
import { DISPATCH_LIMIT } from "../gpu/pace.ts";
import { RunFolder } from "../report/folder.ts";
import { openDashboard } from "../serve/dashboard.ts";
import type {
  EvalPoint,
  LayerPoint,
  Manifest,
  Sample,
  Status,
  StepPoint,
} from "../report/record.ts";
import type { CommonSettings } from "../settings/common.ts";
import type { TrainSettings } from "../settings/train.ts";
import { inspectionDue, type ModuleNorms, Norms } from "../trainer/inspect.ts";
import { type Best, type Ending, train as loop } from "../trainer/loop.ts";
import { again, type RunSettings } from "../trainer/prepare.ts";
import { Trackers, trackersOf } from "../trainer/trackers/mod.ts";
import type { Trainer } from "../trainer/trainer.ts";
import { Watch } from "../trainer/watch.ts";
import { begin } from "./begin.ts";
import type { Io } from "./io.ts";
import { requireFit, trainedLine } from "./plan.ts";
import type { PreparedRun } from "./prepared.ts";
import { measuresOf, Sampler } from "./samples.ts";
import { repetition } from "./repeat.ts";
import { TrainView } from "./train_view.ts";
import { version } from "./version.ts";

type Settings = TrainSettings & CommonSettings & { readonly output: string };

/**
 * Trains what was prepared, in its run folder: events, checkpoints, and at the end the weights and the
 * files that explain them.
 * @param shared a device that is open already, and stays open
 * @throws Fail (usage) (gpu) (memory) (diverged) (disk)
 */
export async function train(
  settings: Settings,
  planned: PreparedRun,
  io: Io,
  shared?: Device,
): Promise<TrainResult> {
  requireFit(planned, settings);
  const out = settings.output;
  const places = trackersOf(settings);
  makeWay(settings);
  using _lock = await lockFolder(out);
  const from = await resumed(settings, planned, io);
  const { device, trainer, run, kernels } = await begin(
    settings,
    from?.run ?? planned,
    io,
    shared,
    from?.kernels,
  );
  const { prepared } = run;
  const { model, batches, plan } = prepared;
  if (from) trainer.restore(from.step, from.tensors);
  else if (settings.init_adapter) await startFrom(settings.init_adapter, trainer, run);
  const began = performance.now();
  const folder = await RunFolder.open(out, {
    ...manifestOf(settings, run, device.capabilities),
    kernels,
  });
  const page = settings.ui ? await openDashboard(out, settings.ui_port) : undefined;
  if (page) io.note(`live page  ${page.url}`);
  const warn = (code: string, message: string, fix?: string) => {
    folder.event("warn", { code, message });
    io.warn(code, message, fix);
  };
  const tellSame = repetition(settings.config, folder.manifest, io);
  const trackers = new Trackers(
    places,
    factsOf(folder.manifest, out, from?.step ?? 0),
    from?.trackers ?? {},
    (message) => warn("WH0701", message),
  );
  const emit = (kind: string, fields: Record<string, unknown>) => {
    folder.event(kind, fields);
    io.event(kind, fields);
    trackers.event(kind, fields);
    page?.grown();
  };
  try {
    io.out(trainedLine(plan));
    const { manifest } = folder;
    emit("start", {
      settings: manifest.settings,
      device: device.capabilities,
      model: manifest.model,
      data: manifest.data,
      validation: manifest.validation,
      git_commit: manifest.git_commit,
      steps: batches.steps,
      ...(from ? { resumed_from: from.step } : {}),
    });
    const few = prepared.validation.length;
    if (few > 0 && few < 30) {
      const message = `only ${plural(few, "validation row")}: measurements differ mostly by chance`;
      warn("WH0310", message, "30 or more tell something");
    }
    const view = new TrainView(io, batches.steps, settings.log_every);
    const sampler = settings.samples > 0 ? new Sampler(run, settings.samples) : undefined;
    const watch = new Watch();
    let norms: Norms | undefined, samples: Sample[] = [];
    const { ending, best } = await loop(trainer, prepared, {
      // All weights at once would be held twice on the host: only an adapter is looked into.
      inspect(step) {
        norms = settings.full || !inspectionDue(step, batches.steps) ? undefined : new Norms();
        return norms && ((tensor) => {
          norms!.add(tensor);
          trackers.histogram(step, `gradients/${tensor.name}`, tensor.gradient);
        });
      },
      step({ step, epoch, loss, rate, gradNorm, tokens, milliseconds }) {
        const point: StepPoint = {
          step,
          epoch,
          loss,
          lr: rate,
          grad_norm: gradNorm,
          tok_s: (1000 * tokens) / milliseconds,
          mem_bytes: device.bytes,
          ms: milliseconds,
        };
        emit("step", { ...point });
        view.step(point);
        const message = watch.step(step, loss);
        if (message) warn("WH0605", message, "stop, and begin again with a lower --lr");
        const modules = [...norms?.modules ?? []];
        if (modules.length > 0) folder.event("layers", { ...layersOf(step, modules) });
        if (step % batches.stepsPerEpoch === 0) emit("epoch", { step, epoch });
      },
      async answers() {
        samples = await Array.fromAsync(sampler?.answers(trainer) ?? []);
        return measuresOf(samples);
      },
      async measured({ step, epoch, measures, best, baseline, milliseconds }) {
        const { val_loss, val_ppl, ...more } = measures;
        const point: EvalPoint = {
          step,
          epoch,
          val_loss: val_loss!,
          ppl: val_ppl!,
          ...more,
          best,
          baseline,
          ms: milliseconds,
        };
        emit("eval", { ...point });
        view.measured(point);
        for (const sample of samples) emit("sample", { step, ...sample });
        if (samples.length > 0) await writePredictions(out, step, samples);
        const message = watch.measured(step, val_loss!);
        if (message) warn("WH0604", message, "--patience 2 stops there; the best weights are kept");
      },
      async save({ step, tensors, best, worse }, isBest) {
        await trackers.flush();
        const state = stateOf(settings, run, trainer, {
          step,
          tensors,
          best,
          worse,
          trackers: trackers.state(),
          kernels,
        });
        const { path, bytes, removed } = await saveCheckpoint(out, state, { keep: settings.keep });
        emit("checkpoint", { path, step, best: isBest, bytes, removed });
        io.detail(`checkpoint ${path}`);
      },
      skipped({ step, loss, gradNorm }, tensors) {
        const blame = tensors.length > 0 ? `; not finite: ${tensors.slice(0, 3).join(", ")}` : "";
        const rows = batches.at(step - 1).micro.flat().map((i) => run.data!.rows[i]!.line);
        const message =
          `step ${step} was not applied: loss ${loss}, gradient norm ${gradNorm}${blame}; ` +
          `rows at lines ${excerpt(rows.join(", "), 60)}`;
        warn("WH0601", message, "a lower --lr, if it happens again");
      },
      stop: () => io.stop.requested !== undefined,
    }, from && { best: from.best ?? undefined, worse: from.worse });
    const seconds = (performance.now() - began) / 1000;
    if (device.slow.size > 0) {
      const slow = [...device.slow].map(([kernel, ms]) => `${kernel} ${Math.round(ms)} ms`);
      const message = `one dispatch took longer than ${DISPATCH_LIMIT} ms: ${slow.join(", ")}`;
      warn("WH0401", message, "--micro-tokens with fewer tokens makes dispatches shorter");
    }
    const adapter = await writeWeights(settings, run, trainer, best);
    const status = STATUS[ending];
    const shown = await trackers.end(status === "stopped" ? "stopped" : "finished");
    emit("end", {
      status,
      best: best ? { step: best.step, val_loss: best.loss } : null,
      adapter_path: adapter.path,
      sha256: adapter.sha256,
      seconds,
    });
    await folder.finish({
      status,
      seconds,
      adapter,
      best: best && { step: best.step, val_loss: best.loss },
    });
    if (!shared) tellEnd(settings, run, status, trainer.step, best, seconds, io);
    for (const { name, place } of shown) io.note(`${name}  ${place}`);
    if (status !== "stopped") tellSame?.(adapter.sha256);
    return { status, best, adapter, seconds, folder };
  } catch (error) {
    const seconds = (performance.now() - began) / 1000;
    const message = error instanceof Error ? error.message : String(error);
    await trackers.end("failed");
    await folder.finish({ status: "failed", seconds, error: message }).catch(() => {});
    throw error;
  } finally {
    page?.grown();
    await page?.close();
    trainer.free();
    if (!shared) device.close();
    model.folder.close();
  }
}

export interface TrainResult {
  readonly status: Status;
  readonly best: Best | undefined;
  readonly adapter: { readonly path: string; readonly sha256: string; readonly bytes: number };
  readonly seconds: number;
  /** Its files for people can be written again with more in them. */
  readonly folder: RunFolder;
}

const STATUS: Readonly<Record<Ending, Status>> = {
  finished: "finished",
  early: "early",
  stopped: "stopped",
};

function tellEnd(
  settings: Settings,
  { data }: PreparedRun,
  status: Status,
  step: number,
  best: Best | undefined,
  seconds: number,
  io: Io,
) {
  const { output } = settings;
  const what = settings.full ? "model" : "adapter";
  io.out(
    status === "stopped"
      ? `stopped after step ${step}, ${humanSeconds(seconds)}; go on with --resume`
      : `${status === "early" ? "stopped early" : "done"}: ${plural(step, "step")} in ${
        humanSeconds(seconds)
      }` +
        (best ? `, best ${judgedBy(settings, best)} at step ${best.step}` : ""),
  );
  io.out(`${what}   ${output}\nreport  ${join(output, "report.html")}`);
  if (status !== "stopped") {
    const { model, quant, double_quant } = settings;
    const kept = quant === "none"
      ? ""
      : ` --quant ${quant}${double_quant ? " --double-quant" : ""}`;
    const use = settings.full ? `-m ${output}` : `-m ${model} -a ${output}${kept}`;
    const chat = data!.facts.chat ? "--chat " : "";
    io.note(
      `\nNext: whet infer ${use} ${chat}-p "..."\n      whet export ${output} -o model.gguf --gguf`,
    );
  }
}

/** The answers of one measurement, each beside what was expected. */
async function writePredictions(out: string, step: number, samples: readonly Sample[]) {
  const lines = samples.map((sample) => JSON.stringify({ step, ...sample }) + "\n");
  const folder = join(out, "predictions");
  await makeFolder(folder);
  await writeFile(join(folder, `step-${step}.jsonl`), lines.join(""));
}

/** Norms by module as they are written down: four digits are plenty for a picture. */
function layersOf(step: number, modules: readonly (readonly [string, ModuleNorms])[]): LayerPoint {
  const round = (n: number) => Number(n.toPrecision(4));
  return {
    step,
    modules: modules.map(([name]) => name),
    gradient: modules.map(([, m]) => round(m.gradient)),
    update: modules.map(([, m]) => round(m.update)),
    weight: modules.map(([, m]) => round(m.weight)),
  };
}

const judgedBy = ({ best: metric }: Settings, { loss, value }: Best) =>
  metric.startsWith("val_")
    ? `val loss ${short(loss)}`
    : `${metric.replace("_", " ")} ${short(100 * value)} % (val loss ${short(loss)})`;

/** Settings that change the numbers, so that a resumed run must have the same. */
const NUMERIC: readonly (keyof RunSettings | "quant" | "double_quant" | "loss_on")[] = [
  "full",
  "quant",
  "double_quant",
  "rank",
  "alpha",
  "use_rslora",
  "dropout",
  "lr",
  "scheduler",
  "warmup",
  "lr_decay",
  "lr_decay_shape",
  "min_lr_ratio",
  "loss_on",
  "label_smoothing",
  "neftune_alpha",
  "weight_decay",
  "max_grad_norm",
  "betas",
  "eps",
  "batch",
  "accum",
  "max_seq",
  "packing",
  "shuffle",
  "seed",
];

interface Cursor {
  readonly step: number;
  readonly best: Best | undefined;
  readonly worse: number;
}

function stateOf(
  settings: Settings,
  { targets, data, prepared }: PreparedRun,
  trainer: Trainer,
  progress: Cursor & {
    readonly trackers: Readonly<Record<string, unknown>>;
    readonly kernels: Tuned;
    readonly tensors: ReadonlyMap<string, { w: Float32Array; m: Float32Array; v: Float32Array }>;
  },
): TrainingState {
  const shapes = new Map(trainer.trained.map((t) => [t.name, t.shape]));
  const numeric = Object.fromEntries(NUMERIC.map((key) => [key, settings[key]]));
  return {
    step: progress.step,
    tensors: new Map(
      [...progress.tensors].map(([name, t]) => [name, { ...t, shape: shapes.get(name)! }] as const),
    ),
    cursor: { step: progress.step },
    settings: { ...numeric, targets },
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

interface From {
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

/** The checkpoint to go on from, where --resume asks for one. */
async function resumed(
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
    best: state.best as Best | null,
    worse,
    run,
    trackers,
    kernels,
  };
}

/** Refuses to go on with other rows, another model, or settings that would give other numbers. */
function compare(
  settings: Settings,
  { data, targets, prepared }: PreparedRun,
  state: TrainingState,
  io: Io,
) {
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
  // Checkpoints from before there was a setting do not speak of it.
  const before: Record<string, unknown> = {
    quant: "none",
    double_quant: false,
    min_lr_ratio: 0,
    loss_on: "response",
    label_smoothing: 0,
    neftune_alpha: 0,
    ...state.settings as Record<string, unknown>,
  };
  const now: Record<string, unknown> = { ...settings, targets };
  const changed = [...NUMERIC, "targets"].filter((key) =>
    JSON.stringify(before[key]) !== JSON.stringify(now[key])
  ).map((key) => `${key}: ${JSON.stringify(before[key])} -> ${JSON.stringify(now[key])}`);
  const { micro_tokens = prepared.recipe.size.tokens } = state.extra as { micro_tokens?: number };
  if (micro_tokens !== prepared.recipe.size.tokens) {
    changed.push(`micro_tokens: ${micro_tokens} -> ${prepared.recipe.size.tokens}`);
  }
  const shapes = /^(full|rank|targets):/;
  if (changed.length > 0 && !settings.allow_change || changed.some((line) => shapes.test(line))) {
    throw new Fail("resuming with settings that change the numbers", {
      why: changed.join("\n"),
      fix: changed.some((line) => shapes.test(line))
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

/** A finished or begun run is not written over: with --yes it is put aside under another name. */
function makeWay({ output, resume, yes }: Settings) {
  const used = ["run.json", "checkpoints", "adapter_model.safetensors", "model.safetensors"]
    .find((name) => existsSync(join(output, name)));
  if (used === undefined || resume !== undefined) {
    if (existsSync(output) && !statSync(output).isDirectory()) {
      throw new Fail(`${output} is a file`, {
        why: "a run is written into a folder",
        fix: "name another place with -o",
        exit: Exit.usage,
      });
    }
    return;
  }
  if (!yes) {
    throw new Fail(`${output} holds a run already`, {
      why: `there is ${used} in it, and a run is never written over`,
      fix: "another -o; or --resume to go on with it; or -y to put it aside and begin anew",
      exit: Exit.usage,
    });
  }
  let n = 1;
  const aside = () => join(dirname(resolve(output)), `${basename(resolve(output))}.old-${n}`);
  while (existsSync(aside())) n++;
  renameSync(output, aside());
}

function manifestOf(
  settings: Settings,
  { prepared, data, validation, targets }: PreparedRun,
  capabilities: object,
): Manifest {
  const { model, plan, batches, recipe } = prepared;
  const { json: _, quiet: _q, verbose: _v, debug: _d, color: _c, set: _s, ...told } = settings;
  return {
    format: 1,
    kind: "sft",
    name: basename(resolve(settings.output)),
    status: "running",
    started: new Date().toISOString(),
    whet: { version, commit: commit(), bun: Bun.version },
    git_commit: gitCommit(),
    command: ["whet", ...process.argv.slice(2)],
    device: { ...capabilities },
    settings: { ...told, target: targets },
    model: {
      path: settings.model,
      type: model.architecture.modelType,
      parameters: plan.parameters,
      trainable: plan.trainable,
      sha256: model.folder.hash(),
    },
    data: data!.facts,
    validation: validation?.facts,
    steps: batches.steps,
    computed: {
      micro_tokens: recipe.size.tokens,
      recomputed_blocks: plan.blocks.recomputed,
      bytes: plan.bytes,
    },
  };
}

/** What trackers are told of a run: its settings, and the hashes that say what it was made from. */
function factsOf({ name, settings, model, data, whet }: Manifest, folder: string, from: number) {
  const config = {
    ...settings,
    whet: `${whet.version} ${whet.commit}`,
    model_sha256: model.sha256,
    data_sha256: data.sha256,
  };
  return { name, folder, config, from, started: Date.now() };
}

/** The commit of this folder, with "+" where tracked files differ from it; nothing without git. */
function gitCommit(): string | undefined {
  const git = (...words: string[]) => {
    try {
      const { exitCode, stdout } = Bun.spawnSync(["git", ...words], { stderr: "ignore" });
      return exitCode === 0 ? stdout.toString().trim() : undefined;
    } catch {
      return undefined; // no git on this machine
    }
  };
  const head = git("rev-parse", "HEAD");
  return head && head + (git("status", "--porcelain", "--untracked-files=no") ? "+" : "");
}

/** --init-adapter: the weights of another adapter, with fresh moments. */
async function startFrom(path: string, trainer: Trainer, { prepared }: PreparedRun) {
  const adapter = await readAdapter(path);
  checkFit(adapter, prepared.model.folder.tensors);
  const wanted = new Map(trainer.trained.map((t) => [t.name, t.shape]));
  const wrong = [
    ...[...wanted].filter(([name, shape]) =>
      String(adapter.tensors.get(name)?.shape) !== String(shape)
    ).map(([name, shape]) =>
      `${name}: this run has [${shape.join(", ")}], the adapter ${
        adapter.tensors.has(name) ? `[${adapter.tensors.get(name)!.shape.join(", ")}]` : "has none"
      }`
    ),
    ...[...adapter.tensors.keys()].filter((name) => !wanted.has(name)).map((name) =>
      `${name}: only in the adapter`
    ),
  ];
  if (wrong.length > 0) {
    const { r, lora_alpha, target_modules } = adapter.config;
    const targets = typeof target_modules === "string" ? target_modules : target_modules.join(",");
    throw new Fail(`the adapter ${path} does not have the form of this run`, {
      why: wrong.slice(0, 5).join("\n"),
      fix: `--rank ${r} --alpha ${lora_alpha} --target ${targets}`,
      exit: Exit.usage,
    });
  }
  trainer.start(new Map([...adapter.tensors].map(([name, { data }]) => [name, data])));
}

/** Files of the base model that belong beside weights. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
];

/** Writes the best weights (the last ones without validation rows), and the tokenizer beside them. */
async function writeWeights(
  settings: Settings,
  { targets, prepared }: PreparedRun,
  trainer: Trainer,
  best: Best | undefined,
) {
  const out = settings.output;
  const { model } = prepared;
  const tensors = best === undefined || best.step === trainer.step
    ? await trainer.weights()
    : await bestOf(out, best.step, trainer);
  for (const name of COMPANIONS) {
    const path = join(model.folder.dir, name);
    if (existsSync(path)) await writeFile(join(out, name), readFileSync(path));
  }
  if (settings.full) {
    const { writeModel } = await import("./full_weights.ts");
    return { path: out, ...await writeModel(out, model.folder, tensors) };
  }
  const { size, sha256 } = await writeAdapter(out, {
    ...loraDefaults,
    base_model_name_or_path: resolve(settings.model),
    task_type: "CAUSAL_LM",
    r: settings.rank,
    lora_alpha: settings.alpha,
    lora_dropout: settings.dropout,
    use_rslora: settings.use_rslora,
    target_modules: [...targets],
  }, tensors);
  return { path: out, sha256, bytes: size };
}

/** The weights of the best step's checkpoint, which rotation keeps. */
async function bestOf(out: string, step: number, trainer: Trainer) {
  const { listCheckpoints } = await import("../formats/checkpoint.ts");
  const entry = listCheckpoints(out).find((checkpoint) => checkpoint.step === step);
  if (!entry) return await trainer.weights();
  const { tensors } = await loadCheckpoint(entry.path);
  return new Map([...tensors].map(([name, { shape, w }]) => [name, { shape: shape!, data: w }]));
}
