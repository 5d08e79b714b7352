import { totalmem } from "node:os";
import { Exit, Fail } from "../base/fail.ts";
import { columns, humanBytes, plural, short, thousands } from "../base/text.ts";
import { planSettings } from "../settings/train.ts";
import type { RunPlan } from "../trainer/plan.ts";
import { command } from "./command.ts";
import type { Io } from "./io.ts";
import type { PreparedRun } from "./prepared.ts";

export const plan = command({
  section: "train",
  dryRun: true,
  examples: [
    "whet plan -m ./model",
    "whet plan -m ./model -d rows.jsonl --rank 32 --max-seq 1024",
    "whet plan -m ./model -d rows.jsonl --target-mem 16GB --json",
  ],
  details:
    "Takes the flags of whet train sft and says what that run would need, to the buffer, without " +
    "touching a GPU. Without -d the rows are taken to be as long as --max-seq allows.",
  settings: planSettings,
  async run(settings, io) {
    const { prepareRun } = await import("./prepared.ts");
    const run = await prepareRun(settings, io);
    tellPlan(run, bytesOf(settings.target_mem) ?? totalmem(), io);
    if (settings.record) io.out(`\nThe step\n${run.prepared.plan.print()}`);
  },
});

/** What a run needs: the answer of `whet plan` and of `whet train --dry-run`. */
export function tellPlan({ prepared }: PreparedRun, memory: number, io: Io) {
  const { plan, batches, recipe, rows } = prepared;
  const { bytes } = plan;
  const sampled = Math.max(1, Math.min(batches.steps, batches.stepsPerEpoch, 256));
  let tokens = 0;
  let runs = 0;
  for (let step = 0; step < sampled; step++) {
    const { micro } = batches.at(step);
    runs += micro.length;
    tokens += micro.flat().reduce((sum, row) => sum + rows[row]!.ids.length, 0);
  }
  const answer = {
    bytes,
    steps: batches.steps,
    steps_per_epoch: batches.stepsPerEpoch,
    tokens_per_step: Math.round(tokens / sampled),
    flops_per_step: Math.round((plan.flops * runs) / sampled),
    extra_flops_per_step: Math.round((plan.extraFlops * runs) / sampled),
    blocks: plan.blocks,
    fits: bytes.total <= memory,
    trainable: plan.trainable,
    parameters: plan.parameters,
    micro_batch: recipe.size,
  };
  io.result(answer);

  io.out("Memory");
  io.out(parts(bytes).replaceAll(/^/gm, "  "));
  io.out(
    answer.fits
      ? `  fits in ${humanBytes(memory)}`
      : `  does not fit in ${humanBytes(memory)}: ${SMALLER}`,
  );
  io.out("\nWork");
  io.out(columns([
    ["  steps", `${thousands(answer.steps)}, ${thousands(answer.steps_per_epoch)} an epoch`],
    [
      "  a step",
      `${thousands(answer.tokens_per_step)} tokens, ${short(answer.flops_per_step / 1e9)} GFLOP`,
    ],
    [
      "  computed as",
      `${plural(Math.round(runs / sampled), "run")} of ${recipe.size.tokens} tokens`,
    ],
    [
      "  blocks",
      plan.blocks.recomputed === 0
        ? "kept for the backward pass"
        : `${plan.blocks.recomputed} of ${plan.blocks.all} computed again in the backward pass`,
    ],
    ["  trained", trainedLine(plan)],
  ]));
}

const SMALLER = "try --grad-checkpoint on, a smaller --max-seq, or a smaller --batch";

/** Memory by part, one a line. */
function parts(bytes: RunPlan["bytes"]): string {
  const { weights, adapter, gradients, optimizer, activations, scratch, total } = bytes;
  const all = { weights, adapter, gradients, optimizer, activations, scratch, total };
  return columns(Object.entries(all).map(([name, n]) => [name, humanBytes(n)]), [1]);
}

/**
 * Refuses a run that needs more memory than there is. A software adapter grants it all the same, and
 * the system kills the process later.
 * @throws Fail (memory) with the table of what would be needed
 */
export function requireMemory(bytes: RunPlan["bytes"], memory: number) {
  if (bytes.total <= memory) return;
  const [needed, there] = [humanBytes(bytes.total), humanBytes(memory)];
  throw new Fail(`this run needs ${needed} of memory, this machine has ${there}`, {
    why: parts(bytes),
    fix: `${SMALLER}; whet plan says what a run needs`,
    exit: Exit.memory,
  });
}

/** PEFT's line on what is trained. */
export function trainedLine({ trainable, parameters }: { trainable: number; parameters: number }) {
  return `trainable params: ${thousands(trainable)} || all params: ${thousands(parameters)} || ` +
    `trainable%: ${((100 * trainable) / parameters).toFixed(4)}`;
}

/** "16GB" in bytes; powers of 1024. */
function bytesOf(size: string | undefined): number | undefined {
  const found = size && /^([\d.]+)\s*([KMGT])/i.exec(size);
  return found
    ? Number(found[1]) * 1024 ** ("KMGT".indexOf(found[2]!.toUpperCase()) + 1)
    : undefined;
}
