import type { Capabilities, Choice, Tuned } from "../../gpu/device.ts";
import { Graph } from "../../graph/graph.ts";
import type { BenchCase } from "./cases.ts";

/** A measurement of one of the kernels that could do the work. */
export interface WayCase extends BenchCase {
  readonly choice: Choice;
  readonly can: Capabilities;
}

/** The case with each kernel that could do it, the default first; nothing where there is only one. */
export function everyWay(one: BenchCase, can: Capabilities): WayCase[] {
  const { op, inputs, attrs } = one.work, g = new Graph();
  g.add(op, inputs.map(({ shape, dtype = "f32" }, i) => g.input(`in${i}`, shape, dtype)), attrs);
  const launches = op.launch(g.nodes[0]!, can), choice = launches[0]?.choice;
  if (!choice || launches.length > 1) return [];
  return choice.ways.map((way) => ({
    ...one,
    name: `${one.name}, ${way}`,
    choice: { ...choice, way },
    can: { ...can, tuned: { [choice.kind]: way } },
  }));
}

/** For every kind the kernel that was the fastest, over all of its cases together. */
export function fastest(measured: readonly { choice: Choice; seconds: number }[]): Tuned {
  const sums = new Map<string, Map<string, number>>();
  for (const { choice: { kind, way }, seconds } of measured) {
    const ways = sums.get(kind) ?? new Map<string, number>();
    sums.set(kind, ways.set(way, (ways.get(way) ?? 0) + seconds));
  }
  return Object.fromEntries(
    [...sums].map(([kind, ways]) =>
      [kind, [...ways].reduce((best, next) => next[1] < best[1] ? next : best)[0]] as const
    ),
  );
}
