import type { DpoSettings } from "../../settings/dpo.ts";
import { type Field, fieldsOf } from "../../settings/field.ts";
import { settingsOf } from "../../settings/kinds.ts";
import type { KtoSettings } from "../../settings/kto.ts";
import type { OrpoSettings } from "../../settings/orpo.ts";
import type { SimpoSettings } from "../../settings/simpo.ts";
import { dpo } from "../../trainer/objectives/dpo.ts";
import { kto } from "../../trainer/objectives/kto.ts";
import type { Objective } from "../../trainer/objectives/objective.ts";
import { orpo } from "../../trainer/objectives/orpo.ts";
import { sft } from "../../trainer/objectives/sft.ts";
import { simpo } from "../../trainer/objectives/simpo.ts";

/** Settings of a training on answers that are better or worse than others. */
export type PreferenceSettings = DpoSettings | OrpoSettings | SimpoSettings | KtoSettings;

type Own = "loss_type" | "beta" | "label_smoothing" | "reference" | "min_pairs" | "share_prompt";

/** What such a run minimises, and how its rows are read. */
export type PairSettings =
  | Pick<DpoSettings, Own>
  | Pick<OrpoSettings, Own>
  | Pick<SimpoSettings, Own | "simpo_gamma" | "cpo_alpha">
  | Pick<KtoSettings, Own | "desirable_weight" | "undesirable_weight">;

const usual: Pick<DpoSettings, Own> = {
  loss_type: "sigmoid",
  beta: 0.1,
  label_smoothing: 0,
  reference: "adapter-off",
  min_pairs: 1,
  share_prompt: true,
};

/** The settings of training on answers, where these are such. */
export function pairsOf(settings: object): PairSettings | undefined {
  if ("loss_type" in settings) return settings as PairSettings;
  return "objective" in settings && settings.objective === "dpo" ? usual : undefined;
}

/** Whether each row is one answer, wanted or not, instead of a pair. */
export const unpaired = ({ loss_type }: Pick<PairSettings, "loss_type">): boolean =>
  loss_type === "kto" || loss_type === "apo_zero_unpaired";

/** What a run with these settings minimises. */
export function objectiveFor(settings: object): Objective {
  const s = pairsOf(settings);
  if (!s) return sft;
  const { beta, label_smoothing: smoothing, reference } = s;
  switch (s.loss_type) {
    case "orpo":
      return orpo({ beta });
    case "simpo":
      return simpo({ beta, gamma: s.simpo_gamma, smoothing, alpha: s.cpo_alpha });
    case "kto":
    case "apo_zero_unpaired": {
      const { loss_type: loss, desirable_weight: desirable, undesirable_weight: undesirable } = s;
      return kto({ loss, beta, desirable, undesirable, reference });
    }
    default:
      return dpo({ loss: s.loss_type, beta, smoothing, reference });
  }
}

/** The settings among these that such a command has. */
export function ownSettings<S extends object>(kind: string, settings: S): Partial<S> {
  const own = new Set(fieldsFor(kind).map(({ key }) => key));
  const others = ["sft", "dpo", "kto"].flatMap(fieldsFor).map(({ key }) => key);
  const foreign = new Set(others.filter((key) => !own.has(key)));
  const kept = Object.entries(settings).filter(([key]) => !foreign.has(key));
  return Object.fromEntries(kept) as Partial<S>;
}

/** Every setting of the command that trains so. */
export const fieldsFor = (kind: string): Field[] => fieldsOf(settingsOf(kind));
