import type { Model } from "../../architectures/model.ts";
import { uniform } from "../../base/random.ts";
import { availableMemory, budgetOf } from "../../gpu/available.ts";
import type { Device } from "../../gpu/device.ts";
import { Timer } from "../../gpu/timer.ts";
import type { Node } from "../../graph/graph.ts";
import type { Runner } from "../../graph/runner.ts";
import type { BenchSettings } from "../../settings/bench.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { trainSettings } from "../../settings/train.ts";
import { start } from "../../trainer/loop.ts";
import { prepare, type Prepared } from "../../trainer/prepare.ts";
import type { Io } from "../io.ts";
import type { Roofline } from "./roofline.ts";
import { type Summary, summary } from "./statistics.ts";

/** One kind of op in a training step. */
export interface OpShare {
  readonly op: string;
  readonly uses: number;
  readonly seconds: number;
  /** Of the time of all ops. */
  readonly share: number;
  /** Arithmetic a second, where the op counts its arithmetic. */
  readonly flops_s?: number;
}

export interface TrainingResult {
  readonly model: string;
  readonly parameters: number;
  readonly trainable: number;
  readonly quant: string;
  readonly rank?: number;
  readonly tokens_per_step: number;
  /** Until the first step was done: it holds the driver's compilation. */
  readonly first_step_s: number;
  readonly step_s: Summary;
  /** At the median step. */
  readonly tokens_s: number;
  /** Matrix products and attention of one step, without what is computed twice to save memory. */
  readonly flops_per_step: number;
  /** Model FLOP utilisation: of the f32 peak of the roofline, and of that of its matrix units. */
  readonly utilisation: number;
  readonly utilisation_matrix?: number;
  readonly planned_bytes: number;
  readonly allocated_bytes: number;
  readonly host_peak_bytes: number;
  readonly blocks: { readonly all: number; readonly recomputed: number };
  /** Absent where the adapter has no clock. */
  readonly ops?: readonly OpShare[];
}

/**
 * Lays out training on rows of random tokens, all of them targets: one row a step.
 * @throws Fail (usage) when a target is no module of the model
 */
export function prepareTraining(
  model: Model,
  s: BenchSettings & Pick<CommonSettings, "device">,
  software: boolean,
): Prepared {
  const { vocab, context } = model.sizes;
  const tokens = Math.min(s.tokens ?? (software ? 128 : 2048), context);
  const steps = s.steps ?? (software ? 3 : 10);
  const ids = Int32Array.from({ length: tokens }, (_, i) => Math.floor(uniform(1, 0, i) * vocab));
  const { linears, defaultTargets } = model.architecture;
  const targets = s.target === undefined
    ? defaultTargets
    : s.target === "all-linear"
    ? linears
    : s.target;
  const settings = trainSettings.parse({
    model: model.folder.dir,
    data: "-",
    rank: s.rank,
    full: s.full,
    quant: s.quant,
    double_quant: s.double_quant,
    grad_checkpoint: s.grad_checkpoint,
    batch: 1,
    max_seq: tokens,
    iters: steps + 1,
  });
  const budget = budgetOf(availableMemory(s.device));
  return prepare(model, [{ ids, labels: ids }], [], s.full ? [] : targets, settings, budget);
}

/** Takes the steps and measures them. @throws Fail as training does */
export async function measureTraining(
  device: Device,
  prepared: Prepared,
  roof: Roofline,
  io: Io,
): Promise<TrainingResult> {
  const { model, plan, batches, settings } = prepared;
  const trainer = await start(device, prepared, (done, total) => {
    io.progress(`loading weights ${Math.round((100 * done) / total)} %`);
  });
  try {
    const allocated = device.bytes;
    const first = await trainer.next();
    const samples: number[] = [];
    while (trainer.step < batches.steps && !io.stop.requested) {
      const { milliseconds } = await trainer.next();
      samples.push(milliseconds / 1000);
      io.progress(
        `step ${trainer.step} of ${batches.steps}: ${(milliseconds / 1000).toFixed(2)} s`,
      );
    }
    const ops = device.capabilities.timestamps ? await profile(device, trainer.program) : undefined;
    io.progress();
    const step = summary(samples.length > 0 ? samples : [first.milliseconds / 1000]);
    const { heads, headDim, layers } = model.sizes, T = first.tokens;
    // Two products of T x T / 2 for each head forward, five backward.
    const flops = plan.flops - plan.extraFlops + 7 * T * (T + 1) * heads * headDim * layers;
    return {
      model: model.folder.dir,
      parameters: plan.parameters,
      trainable: plan.trainable,
      quant: quantName(model),
      ...(settings.full ? {} : { rank: settings.rank }),
      tokens_per_step: T,
      first_step_s: first.milliseconds / 1000,
      step_s: step,
      tokens_s: T / step.median,
      flops_per_step: flops,
      utilisation: flops / step.median / roof.flops,
      ...(roof.matrixFlops ? { utilisation_matrix: flops / step.median / roof.matrixFlops } : {}),
      planned_bytes: plan.bytes.total,
      allocated_bytes: allocated,
      host_peak_bytes: hostPeak(),
      blocks: plan.blocks,
      ...(ops ? { ops } : {}),
    };
  } finally {
    trainer.free();
  }
}

/** How the linear layers are kept: "nf4, double", "none". */
export function quantName({ quant, folder }: Model): string {
  if (quant) return quant.type === "nf4" && quant.double ? "nf4, double" : quant.type;
  return [...new Set(folder.quantised?.values())].join(", ") || "none";
}

/** Most memory this process has held, bytes. */
export const hostPeak = (): number => process.resourceUsage().maxRSS * 1024;

/** Runs a program once more, every dispatch in a pass of its own, on the GPU's clock. */
async function profile(device: Device, program: Runner): Promise<OpShare[]> {
  const timer = new Timer(device);
  const flops = new Map<string, number>(), uses = new Set<Node>();
  try {
    for (const { node } of program.dispatches) uses.add(node);
    for (const node of uses) {
      const label = labelOf(node);
      flops.set(label, (flops.get(label) ?? 0) + (node.op.flops?.(node) ?? 0));
    }
    for (let from = 0; from < program.dispatches.length; from += 256) {
      const encoder = device.gpu.createCommandEncoder({ label: "profile" });
      for (const dispatch of program.dispatches.slice(from, from + 256)) {
        const pass = timer.pass(encoder, labelOf(dispatch.node));
        pass.setPipeline(dispatch.pipeline.gpu);
        pass.setBindGroup(0, dispatch.group);
        pass.dispatchWorkgroups(...dispatch.workgroups);
        pass.end();
      }
      device.submit("profile", [encoder.finish()]);
      await device.done();
    }
    const times = [...await timer.collect()];
    const all = times.reduce((sum, [, { ns }]) => sum + ns, 0);
    return times.map(([op, { ns }]) => ({
      op,
      uses: [...uses].filter((node) => labelOf(node) === op).length,
      seconds: ns / 1e9,
      share: ns / all,
      ...(flops.get(op) ? { flops_s: flops.get(op)! / (ns / 1e9) } : {}),
    })).sort((a, b) => b.seconds - a.seconds);
  } finally {
    timer.close();
  }
}

/** "matmul nt nf4": the op, its form, and how the weights it reads are kept. */
function labelOf({ op, attrs, inputs }: Node): string {
  const form = (attrs as { form?: string } | null)?.form;
  const weight = inputs.find((t) => t.shape.length === 2 && t.home === "frozen");
  return [op.name, form, weight?.dtype].filter((word) => word !== undefined).join(" ");
}
