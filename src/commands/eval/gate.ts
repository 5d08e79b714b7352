import { Exit, Fail } from "../../base/fail.ts";
import { suggest } from "../../base/text.ts";
import type { AdversarialMeasures } from "../../evaluate/adversarial.ts";
import type { Measures } from "../../evaluate/measures.ts";
import type { Found } from "../../evaluate/retrieval.ts";

/** A share that must be reached. */
export interface Limit {
  readonly metric: string;
  readonly least: number;
}

export type Gated = Measures & {
  readonly adversarial?: AdversarialMeasures;
  readonly retrieval?: Found;
};

/** Shares of which more is better, by the names people give them. */
const SHARES: Readonly<Record<string, (m: Gated) => number | undefined>> = {
  exact_match: (m) => m.exact_match,
  raw_match: (m) => m.raw_match,
  json_valid: (m) => m.json_valid,
  schema_valid: (m) => m.schema_valid,
  slot_f1: (m) => m.slot_f1,
  type: (m) => m.command?.type,
  command: (m) => m.command?.command,
  subcommand: (m) => m.command?.subcommand,
  args: (m) => m.command?.args,
  flags: (m) => m.command?.flags,
  routing: (m) => m.routing?.accuracy,
  abstention: (m) => m.adversarial?.abstention ?? m.abstention?.rate,
  adversarial: (m) => m.adversarial?.passed,
  pairs: (m) => m.adversarial?.pairs,
  rouge1: (m) => m.rouge?.rouge1,
  rouge2: (m) => m.rouge?.rouge2,
  rougeL: (m) => m.rouge?.rougeL,
  "recall@1": (m) => m.retrieval?.["recall@1"],
  "recall@5": (m) => m.retrieval?.["recall@5"],
  "recall@10": (m) => m.retrieval?.["recall@10"],
  "mrr@10": (m) => m.retrieval?.["mrr@10"],
  "ndcg@10": (m) => m.retrieval?.["ndcg@10"],
  accuracy: (m) => m.retrieval?.accuracy,
};
const SHORT: Readonly<Record<string, string>> = {
  exact: "exact_match",
  raw: "raw_match",
  json: "json_valid",
  schema: "schema_valid",
  f1: "slot_f1",
};
/** What makes a measure absent. */
const NEEDS: Readonly<Record<string, string>> = {
  schema_valid: "--schema",
  adversarial: "--adversarial",
  pairs: "--adversarial with pairs",
};

/** "exact=.9" and "fields.motion=.8". @throws Fail (usage) for a measure that is none, or that is no share */
export function limitOf(text: string): Limit {
  const [name, value] = text.split("=") as [string, string];
  const metric = SHORT[name] ?? name, least = Number(value);
  if (least > 1) {
    throw new Fail(`--fail-under ${text}: shares are from 0 to 1`, {
      fix: `--fail-under ${name}=${least <= 100 ? least / 100 : 0.9}`,
      exit: Exit.usage,
    });
  }
  if (metric in SHARES || /^fields\../.test(metric)) return { metric, least };
  const known = [...Object.keys(SHARES), ...Object.keys(SHORT)], near = suggest(metric, known);
  throw new Fail(`--fail-under: unknown measure "${name}"`, {
    why: near
      ? `did you mean "${near}"?`
      : `known: ${Object.keys(SHARES).join(", ")}, fields.NAME; of others less is better`,
    fix: `--fail-under ${near ?? "exact_match"}=${value}`,
    exit: Exit.usage,
  });
}

/** @throws Fail (gate) where a measure is below its limit, by how much */
export function gate(measures: Gated, limits: readonly Limit[]): void {
  const low = limits.flatMap(({ metric, least }) => {
    const value = metric.startsWith("fields.")
      ? measures.fields?.[metric.slice(7)]
      : SHARES[metric]!(measures);
    if (value !== undefined && value >= least) return [];
    if (value === undefined) {
      const needs = NEEDS[metric];
      return [
        `${metric} is not measured${needs ? ` (no ${needs})` : ": the rows have nothing for it"}`,
      ];
    }
    const short = Number((100 * (least - value)).toPrecision(3));
    return [`${metric} is ${Number(value.toPrecision(4))}, wanted ${least}: ${short} points short`];
  });
  if (low.length === 0) return;
  throw new Fail("the model is below what --fail-under asks for", {
    why: low.join("\n"),
    fix:
      "--failures FILE writes the rows answered wrongly: correct them, add more like them, train again",
    exit: Exit.gate,
  });
}
