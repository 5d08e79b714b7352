import type { Model } from "../../architectures/model.ts";
import { Fail } from "../../base/fail.ts";
import { humanBytes, short } from "../../base/text.ts";
import { PEAK_RATE, type TrainSettings } from "../../settings/train.ts";
import { requireTargets, unknownTargets } from "../../trainer/adapter.ts";
import type { Prepared } from "../../trainer/prepare.ts";
import type { Io } from "../io.ts";

type Asked = Pick<TrainSettings, "full" | "target" | "on_lora_failure" | "lr">;

/** Last names of the layers that get an adapter; none with --full. */
export function targetsOf({ full, target }: Asked, { architecture }: Model): readonly string[] {
  if (full) return [];
  const { linears, defaultTargets } = architecture;
  return target === undefined ? defaultTargets : target === "all-linear" ? linears : target;
}

/**
 * What becomes of the settings where no layer has a name that was targeted and --on-lora-failure allows to
 * train all weights instead; undefined where an adapter can be made, or that is left to be an error.
 */
export function fallback(settings: Asked, model: Model): Partial<TrainSettings> | undefined {
  const { full, on_lora_failure, lr } = settings, targets = targetsOf(settings, model);
  const none = unknownTargets(model, targets).length === targets.length;
  if (full || on_lora_failure !== "full" || !none) return undefined;
  return {
    full: true,
    on_lora_failure: "error",
    layers: undefined,
    loraplus_ratio: 1,
    use_dora: false,
    // The usual rate of an adapter is too high for whole weights.
    lr: lr === PEAK_RATE.adapter ? PEAK_RATE.full : lr,
  };
}

/**
 * Warns of it in the words that Python programs have for it.
 * @throws Fail (usage) where full training does not fit in memory: then it stays an error
 */
export function tellFallback(asked: Asked, { model, plan, fits, settings }: Prepared, io: Io) {
  const targets = targetsOf(asked, model), needs = humanBytes(plan.bytes.total);
  try {
    requireTargets(model, targets);
  } catch (error) {
    if (!(error instanceof Fail)) throw error;
    const { message, why, fix, exit } = error;
    if (!fits) {
      const more = `${why}; to train all weights takes ${needs}, more than there is`;
      throw new Fail(message, { why: more, fix, exit });
    }
    io.warn(
      "WH0219",
      `Failed to apply LoRA (continuing with full fine-tuning): KeyError: '${targets[0]}'`,
      `${why}: ${fix}. Now all weights are trained, in ${needs}, with a learning rate of ${
        short(settings.lr)
      }`,
    );
  }
}
