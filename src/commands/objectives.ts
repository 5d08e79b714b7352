import type { DpoSettings } from "../settings/dpo.ts";
import { type Field, fieldsOf } from "../settings/field.ts";
import { settingsOf } from "../settings/kinds.ts";
import { dpo } from "../trainer/objectives/dpo.ts";
import type { Objective } from "../trainer/objectives/objective.ts";
import { sft } from "../trainer/objectives/sft.ts";

/** What a run minimises, and how its rows are read. */
export type PairSettings = Pick<
  DpoSettings,
  "loss_type" | "beta" | "label_smoothing" | "reference" | "min_pairs" | "share_prompt"
>;

const usual: PairSettings = {
  loss_type: "sigmoid",
  beta: 0.1,
  label_smoothing: 0,
  reference: "adapter-off",
  min_pairs: 1,
  share_prompt: true,
};

/** The settings of training on pairs, where these are such. */
export function pairsOf(settings: object): PairSettings | undefined {
  if ("loss_type" in settings) return settings as PairSettings;
  return "objective" in settings && settings.objective === "dpo" ? usual : undefined;
}

/** What a run with these settings minimises. */
export function objectiveFor(settings: object): Objective {
  const pairs = pairsOf(settings);
  if (!pairs) return sft;
  const { loss_type: loss, beta, label_smoothing: smoothing, reference } = pairs;
  return dpo({ loss, beta, smoothing, reference });
}

/** The settings among these that such a command has. */
export function ownSettings<S extends object>(kind: string, settings: S): Partial<S> {
  const own = new Set(fieldsFor(kind).map(({ key }) => key));
  const foreign = new Set(fieldsFor("sft").map(({ key }) => key).filter((key) => !own.has(key)));
  const kept = Object.entries(settings).filter(([key]) => !foreign.has(key));
  return Object.fromEntries(kept) as Partial<S>;
}

/** Every setting of the command that trains so. */
export const fieldsFor = (kind: string): Field[] => fieldsOf(settingsOf(kind));
