import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { putAside } from "../base/folder.ts";
import { lockFolder } from "../base/lock.ts";
import { excerpt, humanSeconds, plural, short } from "../base/text.ts";
import { saveCheckpoint } from "../formats/checkpoint.ts";
import { checkFit, readAdapter } from "../formats/peft.ts";
import type { Device } from "../gpu/device.ts";
import { DISPATCH_LIMIT } from "../gpu/pace.ts";
import { RunFolder } from "../report/folder.ts";
import type { EvalPoint, Sample, Status, StepPoint } from "../report/record.ts";
import { openDashboard } from "../serve/dashboard.ts";
import type { CommonSettings } from "../settings/common.ts";
import type { TrainSettings } from "../settings/train.ts";
import { inspectionDue, Norms } from "../trainer/inspect.ts";
import { type Best, type Ending, train as loop } from "../trainer/loop.ts";
import { Trackers, trackersOf } from "../trainer/trackers/mod.ts";
import type { Trainer } from "../trainer/trainer.ts";
import { Watch } from "../trainer/watch.ts";
import { begin } from "./begin.ts";
import type { Io } from "./io.ts";
import { requireFit } from "./memory_told.ts";
import { trainedLine, workTold } from "./plan.ts";
import { objectiveOf } from "../trainer/program.ts";
import type { PreparedRun } from "./prepared.ts";
import { compareWith } from "./reference.ts";
import { recordedKernels, repetition } from "./repeat.ts";
import { resumed, stateOf } from "./resuming.ts";
import { factsOf, layersOf, manifestOf, writePredictions, writeWeights } from "./run_output.ts";
import { measuresOf, Sampler } from "./samples.ts";
import { TrainView } from "./train_view.ts";

type Settings = TrainSettings & CommonSettings & { readonly output: string };

/**
 * Trains what was prepared, in its run folder: events, checkpoints, and at the end the weights and the
 * files that explain them.
 * @param shared a device that is open already, and stays open
 * @throws Fail (usage) (gpu) (memory) (diverged) (disk)
 */
export async function train(
  asked: Settings,
  planned: PreparedRun,
  io: Io,
  shared?: Device,
): Promise<TrainResult> {
  const settings = { ...asked, ...planned.instead };
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
    from?.kernels ?? recordedKernels(settings.config),
  );
  const { prepared } = run;
  const { model, batches, plan } = prepared;
  // What a run compares with may be the adapter that it begins with, also where it goes on later.
  const { init_adapter } = settings;
  if (init_adapter && (!from || objectiveOf(prepared.recipe).reference?.adapter)) {
    await startFrom(init_adapter, trainer, run);
  }
  await compareWith(settings, trainer, run, io);
  if (from) trainer.restore(from.step, from.tensors);
  const began = performance.now();
  const { started, seconds: before } = from?.began ??
    { started: new Date().toISOString(), seconds: 0 };
  /** Of all sittings, this one included. */
  const seconds = () => before + (performance.now() - began) / 1000;
  const folder = await RunFolder.open(out, {
    ...manifestOf(settings, run, device.capabilities),
    started,
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
    io.out(workTold(run, settings));
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
    let epochBegan = performance.now();
    let norms: Norms | undefined, overflowed = false, samples: Sample[] = [];
    const { ending, best } = await loop(trainer, prepared, {
      // All weights at once would be held twice on the host: only an adapter is looked into.
      inspect(step) {
        norms = settings.full || !inspectionDue(step, batches.steps) ? undefined : new Norms();
        return norms && ((tensor) => {
          norms!.add(tensor);
          trackers.histogram(step, `gradients/${tensor.name}`, tensor.gradient);
        });
      },
      step({ step, epoch, loss, measures, rate, gradNorm, tokens, milliseconds, saturated }) {
        const point: StepPoint = {
          step,
          epoch,
          loss,
          ...measures,
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
        if (step % batches.stepsPerEpoch === 0) {
          const now = performance.now();
          emit("epoch", { step, epoch, seconds: (now - epochBegan) / 1000 });
          epochBegan = now;
        }
        if (saturated > 0 && !overflowed) {
          overflowed = true; // once says it: the next steps are much the same
          const what = `step ${step}: ${plural(saturated, "activation")} beyond ±65504`;
          warn("WH0606", `${what}, stored in f16 as that`, "--compute f32 holds them");
        }
      },
      async answers() {
        samples = await Array.fromAsync(sampler?.answers(trainer) ?? []);
        return { ...measuresOf(samples), ...await run.measure?.(trainer) };
      },
      async measured({ step, epoch, measures, best, baseline, milliseconds }) {
        const { val_loss, val_ppl, ...more } = measures;
        const point: EvalPoint = {
          step,
          epoch,
          val_loss: val_loss!,
          ...(val_ppl === undefined ? {} : { ppl: val_ppl }),
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
          began: { started, seconds: seconds() },
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
    if (device.slow.size > 0) {
      const slow = [...device.slow].map(([kernel, ms]) => `${kernel} ${Math.round(ms)} ms`);
      const message = `one dispatch took longer than ${DISPATCH_LIMIT} ms: ${slow.join(", ")}`;
      warn("WH0401", message, "--micro-tokens with fewer tokens makes dispatches shorter");
    }
    const adapter = await writeWeights(settings, run, trainer, best);
    await run.beside?.(out);
    const status = STATUS[ending];
    const shown = await trackers.end(status === "stopped" ? "stopped" : "finished");
    emit("end", {
      status,
      best: best ? { step: best.step, val_loss: best.loss } : null,
      adapter_path: adapter.path,
      sha256: adapter.sha256,
      seconds: seconds(),
    });
    await folder.finish({
      status,
      seconds: seconds(),
      adapter,
      best: best && { step: best.step, val_loss: best.loss },
    });
    if (!shared) tellEnd(settings, run, status, trainer.step, best, seconds(), io);
    for (const { name, place } of shown) io.note(`${name}  ${place}`);
    if (status !== "stopped") tellSame?.(adapter.sha256);
    return { status, best, adapter, seconds: seconds(), folder };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await trackers.end("failed");
    await folder.finish({ status: "failed", seconds: seconds(), error: message }).catch(() => {});
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
  /** Of all its sittings. */
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
  { data, prepared }: PreparedRun,
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
    const { model, quant, double_quant, template } = settings;
    const kept = quant === "none"
      ? ""
      : ` --quant ${quant}${double_quant ? " --double-quant" : ""}`;
    const use = settings.full ? `-m ${output}` : `-m ${model} -a ${output}${kept}`;
    const written = template === undefined ? "" : `--template ${template} `;
    const chat = data!.facts.chat ? `--chat ${written}` : "";
    if (objectiveOf(prepared.recipe).kind === "embed") {
      return io.note(`\nNext: whet embed ${use} --json < texts.jsonl`);
    }
    io.note(
      `\nNext: whet infer ${use} ${chat}-p "..."\n      whet export ${output} -o model.gguf --gguf`,
    );
  }
}

const judgedBy = ({ best: metric }: Settings, { loss, value }: Best) =>
  metric.startsWith("val_")
    ? `val loss ${short(loss)}`
    : `${metric.replace("_", " ")} ${short(100 * value)} % (val loss ${short(loss)})`;

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
  putAside(resolve(output));
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
