import { Exit, Fail } from "../../base/fail.ts";
import { columns, humanBytes, humanSeconds, plural, short, thousands } from "../../base/text.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { planSettings } from "../../settings/plan.ts";
import { planRun } from "../../trainer/plan.ts";
import { command } from "../command.ts";
import { moreWork, waysToFit } from "./fitting.ts";
import type { Io } from "../io.ts";
import { NO_WAY, parts, waysTold } from "./memory_told.ts";
import type { PreparedRun, RunSettings } from "./prepared.ts";
import type { Probed } from "./probe.ts";

export const plan = command({
  section: "train",
  dryRun: true,
  examples: [
    "whet plan -m ./model",
    "whet plan -m ./model -d rows.jsonl --rank 32 --max-seq 1024",
    "whet plan -m ./model -d rows.jsonl --target-mem 16GB --json",
    "whet plan -m ./model -d rows.jsonl --probe",
    "whet plan -m ./models --table --target-mem 16GiB",
    "whet plan -m ./encoder -d triplets.jsonl --objective embed --loss mnr --batch 64",
  ],
  details:
    "Takes the flags of whet train sft and says what that run would need, to the buffer: train makes the " +
    "same choice of micro-batch and of blocks to compute again. Nothing is opened but files, unless " +
    "--probe takes three real steps. Where the run does not fit, it says which settings would make it " +
    "fit; what fits is the answer, not the exit code.",
  settings: planSettings,
  async run(settings, io) {
    const { modelsOf } = await import("../use/models.ts");
    const models = modelsOf(settings.model, settings.table);
    if (settings.table) {
      const { tellTable } = await import("./plan_table.ts");
      return await tellTable(models, settings, io);
    }
    if (models.length > 1) {
      throw new Fail(`${models.length} models to plan for`, {
        why: `a plan is for one; --model names ${models.join(", ")}`,
        fix: "compare them with --table",
        exit: Exit.usage,
      });
    }
    const one = { ...settings, model: models[0]! };
    const { preparePlan } = await import("./prepared_plan.ts");
    const run = await preparePlan(one, io);
    const { probe } = settings.probe ? await import("./probe.ts") : { probe: undefined };
    tellPlan(run, one, io, await probe?.(run, one, io));
    if (settings.record) io.out(`\nThe step\n${run.prepared.plan.print()}`);
  },
});

/** What a run needs: the answer of `whet plan` and of `whet train --dry-run`. */
export function tellPlan(
  run: PreparedRun,
  settings: RunSettings & Partial<CommonSettings>,
  io: Io,
  probed?: Probed,
) {
  const { prepared, data, room } = run;
  const { plan, recipe, fits } = prepared;
  const { bytes } = plan;
  const work = workOf(run);
  const inF32 = activationsInF32(prepared);
  const ways = fits ? [] : waysToFit(prepared, settings);
  io.result({
    bytes,
    ...(inF32 === undefined ? {} : { activations_in_f32: inF32 }),
    steps: work.steps,
    steps_per_epoch: work.stepsPerEpoch,
    rows: data?.rows.length ?? null,
    rows_per_step: work.rowsPerStep,
    tokens_per_step: work.tokens,
    flops_per_step: work.flops,
    recompute: plan.blocks.recomputed > 0,
    blocks: plan.blocks,
    fits,
    would_fit: ways,
    memory: {
      budget_bytes: room.bytes,
      free_bytes: room.found.free,
      total_bytes: room.found.total,
      source: room.found.source,
    },
    trainable: plan.trainable,
    parameters: plan.parameters,
    micro_batch: recipe.size,
    micro_batches_per_step: work.runs,
    ...(probed ? { probe: probed } : {}),
  });

  const { ascii } = io;
  io.out("Memory");
  io.out(parts(bytes, ascii).replaceAll(/^/gm, "  "));
  const spare = room.bytes - bytes.total;
  io.out(`  ${fits ? "fits in" : "does not fit in"} ${humanBytes(room.bytes)}: ${room.what}`);
  if (!fits) {
    io.out(`\n${humanBytes(-spare)} too much. ${ways.length > 0 ? "It would fit with" : NO_WAY}`);
    if (ways.length > 0) io.out(waysTold(ways).replaceAll(/^/gm, "  "));
  }
  io.out("\nWork");
  const rows: [string, string][] = [
    [
      "rows",
      data ? rowsTold(run) : `unknown without -d: planned for ${imaginedTold(prepared)}`,
    ],
    ["batch", batchTold(settings)],
    [
      "computed as",
      `${about(work.runs, "micro-batch", "micro-batches")} a step, of ${
        thousands(recipe.size.tokens)
      } token places`,
    ],
    [
      "a step",
      `${data ? "" : "up to "}${thousands(work.tokens)} tokens, ${operations(work.flops)}`,
    ],
    ["steps", stepsTold(run, settings)],
    ["blocks", blocksTold(prepared)],
    ...inF32 === undefined ? [] : [storedTold(bytes.activations, inF32)],
    ["trained", trainedLine(plan)],
  ];
  if (probed) {
    rows.push(["time", timeTold(probed)]);
    const slow = Object.entries(probed.slow_kernels).map(([name, ms]) =>
      `${name} ${Math.round(ms)} ms`
    );
    if (slow.length > 0) rows.push(["long dispatches", slow.join(", ")]);
  }
  io.out(columns(rows.map(([name, text]) => [`  ${name}`, text])));
}

/** What a step and the run are made of, as a plan says it, for the start of training. */
export function workTold(run: PreparedRun, settings: RunSettings): string {
  const { runs } = workOf(run), { tokens } = run.prepared.recipe.size;
  const cut = about(runs, "micro-batch", "micro-batches");
  return columns([
    ["batch", `${batchTold(settings)}, in ${cut} of ${thousands(tokens)} token places`],
    ["steps", stepsTold(run, settings)],
  ]);
}

/** The work of a step, averaged over up to 256 steps. */
function workOf({ prepared, data }: PreparedRun) {
  const { plan, batches, rows, settings } = prepared;
  const sampled = Math.max(1, Math.min(batches.steps, batches.stepsPerEpoch, 256));
  let tokens = 0, runs = 0, seen = 0;
  for (let step = 0; step < sampled; step++) {
    const { micro } = batches.at(step);
    runs += micro.length;
    seen += micro.flat().length;
    tokens += micro.flat().reduce((sum, row) => sum + rows[row]!.ids.length, 0);
  }
  return {
    steps: data || settings.iters !== undefined ? batches.steps : null,
    stepsPerEpoch: data ? batches.stepsPerEpoch : null,
    tokens: Math.round(tokens / sampled),
    flops: Math.round((plan.flops * runs) / sampled),
    runs: runs / sampled,
    rowsPerStep: seen / sampled,
  };
}

function imaginedTold({ rows, recipe }: PreparedRun["prepared"]): string {
  const { texts } = rows[0]!;
  if (texts) return `${texts.length} texts of ${plural(texts[0]!.length, "token")} a row`;
  return `rows of ${plural(recipe.positions, "token")}, half of them trained`;
}

function rowsTold({ data, prepared }: PreparedRun): string {
  const { rows } = data!;
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0);
  const longest = rows.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const { validation } = prepared;
  return `${thousands(rows.length)}, ${thousands(tokens / rows.length)} tokens on average, ${
    thousands(longest)
  } the longest` + (validation.length > 0 ? `; ${thousands(validation.length)} to measure on` : "");
}

function batchTold({ batch, accum, packing }: RunSettings): string {
  const what = packing ? "filled sequence" : "row";
  const effective = batch * accum;
  return accum === 1
    ? `${plural(effective, what)} a step`
    : `${batch} ${what}s x ${accum} accumulated = ${plural(effective, what)} a step`;
}

function stepsTold(
  { prepared, data }: PreparedRun,
  { epochs, iters, batch, accum }: RunSettings,
): string {
  const { batches } = prepared;
  if (iters !== undefined) {
    const share = data ? `, ${short(iters / batches.stepsPerEpoch)} epochs` : "";
    return `${thousands(iters)} as --iters says${share}`;
  }
  if (!data) return `unknown: rows x ${plural(epochs, "epoch")} / ${batch * accum}`;
  return `${thousands(batches.steps)} = ${thousands(batches.stepsPerEpoch)} an epoch x ` +
    plural(epochs, "epoch");
}

function blocksTold(prepared: PreparedRun["prepared"]): string {
  const { recomputed, all } = prepared.plan.blocks;
  if (recomputed === 0) return `all ${all} kept for the backward pass`;
  return `${recomputed} of ${all} computed again in the backward pass: ${moreWork(prepared)}`;
}

/** What the activations of a run that stores them in f16 would take in f32. */
function activationsInF32({ model, recipe, validation }: PreparedRun["prepared"]) {
  if (model.compute !== "f16") return undefined;
  return planRun({ ...model, compute: "f32" }, recipe, validation.length > 0).bytes.activations;
}

const storedTold = (f16: number, f32: number): [string, string] => [
  "stored",
  `activations in f16: ${humanBytes(f32 - f16)} less than in f32`,
];

/** "1.2 TFLOP". */
function operations(flops: number): string {
  const unit = Math.min(5, Math.max(2, Math.floor(Math.log10(Math.max(1, flops)) / 3)));
  return `${short(Number((flops / 1000 ** unit).toPrecision(3)))} ${"KMGTP"[unit - 1]}FLOP`;
}

function timeTold({ seconds_per_step, tokens_per_second, seconds, device }: Probed): string {
  const rate = tokens_per_second < 10 ? short(tokens_per_second) : thousands(tokens_per_second);
  return `${humanSeconds(seconds_per_step)} a step, ${rate} tokens/s` +
    (seconds === null ? "" : `, ${humanSeconds(seconds)} in all`) + ` on ${device}`;
}

const about = (n: number, one: string, many: string) =>
  Number.isInteger(n) ? plural(n, one, many) : `about ${n.toFixed(1)} ${many}`;

/** PEFT's line on what is trained. */
export function trainedLine({ trainable, parameters }: { trainable: number; parameters: number }) {
  return `trainable params: ${thousands(trainable)} || all params: ${thousands(parameters)} || ` +
    `trainable%: ${((100 * trainable) / parameters).toFixed(4)}`;
}
