import type { Model } from "../architectures/model.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { Lora } from "../nn/net.ts";
import type { RunSettings } from "./prepare.ts";

/** Names among the targets that no linear layer of the model has. */
export const unknownTargets = (model: Model, targets: readonly string[]): readonly string[] =>
  targets.filter((name) => !model.architecture.linears.includes(name));

/** @throws Fail (exit 2) when a target names no module of the model */
export function requireTargets(model: Model, targets: readonly string[]): void {
  const unknown = unknownTargets(model, targets);
  if (unknown.length === 0) return;
  const { linears, defaultTargets } = model.architecture;
  throw new Fail(`this model has no module named ${unknown.join(", ")}`, {
    why: `its linear layers are ${linears.join(", ")}`,
    fix: `--target ${defaultTargets.join(",")}, or --target all-linear`,
    exit: Exit.usage,
  });
}

/**
 * The blocks that "8-15", "0,2,5" or "-4" (the last four) name, counted from 0 as PEFT's
 * layers_to_transform does, in rising order.
 * @throws Fail (exit 2) for blocks that the model does not have
 */
export function chosenLayers(text: string, blocks: number): number[] {
  const refuse = (why: string): never => {
    throw new Fail(`--layers ${text} does not fit the model`, {
      why,
      fix: `name some of 0-${blocks - 1}, or leave it out for all`,
      exit: Exit.usage,
    });
  };
  const span = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const had = `it has ${blocks} blocks, numbers 0 to ${blocks - 1}`;
  if (text.startsWith("-")) {
    const last = Number(text.slice(1));
    return last > blocks ? refuse(had) : span(blocks - last, blocks - 1);
  }
  const [from, to] = text.split("-").map(Number) as [number, number | undefined];
  if (to !== undefined && to < from) return refuse(`${from} comes after ${to}`);
  if (to !== undefined && to >= blocks) return refuse(had);
  const layers = to !== undefined ? span(from, to) : text.split(",").map(Number);
  if (layers.some((layer) => layer >= blocks)) return refuse(had);
  return [...new Set(layers)].sort((a, b) => a - b);
}

/** The adapter that the settings ask for. @throws Fail (exit 2) when it names what the model lacks */
export function adapterOf(model: Model, targets: readonly string[], s: RunSettings): Lora {
  requireTargets(model, targets);
  const names = new Set(targets);
  const layers = s.layers === undefined
    ? undefined
    : new Set(chosenLayers(s.layers, model.sizes.layers));
  return {
    rank: s.rank,
    alpha: s.alpha,
    rslora: s.use_rslora,
    dropout: s.dropout,
    dora: s.use_dora,
    targets(module) {
      const block = /\.(\d+)\./.exec(module)?.[1];
      return names.has(module.slice(module.lastIndexOf(".") + 1)) &&
        (layers === undefined || block !== undefined && layers.has(Number(block)));
    },
  };
}
