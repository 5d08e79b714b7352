import { basename, resolve } from "node:path";
import { columns, humanBytes } from "../../base/text.ts";
import type { PlanSettings } from "../../settings/plan.ts";
import type { Io } from "../io.ts";
import { preparePlan } from "./prepared_plan.ts";

/** Ways to train, from the most memory to the least: all weights, or an adapter on a base kept so. */
const WAYS = [
  { name: "full", full: true, quant: "none", double_quant: false },
  { name: "none", full: false, quant: "none", double_quant: false },
  { name: "int8", full: false, quant: "int8", double_quant: false },
  { name: "nf4", full: false, quant: "nf4", double_quant: false },
  { name: "+ dq", full: false, quant: "nf4", double_quant: true },
] as const;

const PARTS = ["weights", "adapter", "gradients", "optimizer", "activations", "scratch"] as const;
const HEADS = ["weights", "adapter", "grads", "optim", "activ", "scratch"];

/** Plans every model in every way, each in the same memory, and says which fit. */
export async function tellTable(models: readonly string[], settings: PlanSettings, io: Io) {
  const rows: string[][] = [];
  let room: string | undefined;
  for (const model of models) {
    for (const { name, ...way } of WAYS) {
      const run = await preparePlan({ ...settings, ...way, model }, io);
      const { plan, recipe, fits } = run.prepared;
      run.prepared.model.folder.close();
      room ??= `${humanBytes(run.room.bytes)}: ${run.room.what}`;
      io.result({
        model,
        ...way,
        bytes: plan.bytes,
        blocks: plan.blocks,
        recompute: plan.blocks.recomputed > 0,
        micro_batch: recipe.size,
        trainable: plan.trainable,
        fits,
      });
      rows.push([
        way.full ? basename(resolve(model)) : "",
        name,
        ...PARTS.map((part) => humanBytes(plan.bytes[part])),
        humanBytes(plan.bytes.total),
        `${plan.blocks.recomputed}/${plan.blocks.all}`,
        fits ? "fits" : "no",
      ]);
    }
  }
  const head = ["model", "quant", ...HEADS, "total", "again", ""];
  io.out(columns([head, ...rows], [2, 3, 4, 5, 6, 7, 8, 9]));
  io.out(`
full trains all weights; the others an adapter, on a base kept as --quant says, "+ dq" with
     --double-quant too
again: blocks of the model computed again in the backward pass
fits in ${room}`);
}
