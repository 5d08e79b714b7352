import type { Model } from "../architectures/model.ts";
import type { TokenRow } from "../architectures/packed.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { Lora } from "../nn/net.ts";
import { adapterOf } from "./adapter.ts";
import { type BatchPlan, keysOf, layOut, pack, type RowLength } from "./layout.ts";
import { fitRun, type RunPlan } from "./plan.ts";
import { objectiveOf, type Recipe } from "./program.ts";
import type { Objective } from "./objectives/objective.ts";
import type { Fall, Schedule } from "./schedule.ts";
import { sft, supervised } from "./objectives/sft.ts";

/** The numeric settings of a run: everything a resumed run must agree with. */
export interface RunSettings {
  readonly full: boolean;
  readonly rank: number;
  readonly alpha: number;
  readonly use_rslora: boolean;
  readonly dropout: number;
  /** DoRA: each adapted row has a learnt length. */
  readonly use_dora?: boolean;
  /** Blocks that get an adapter, as --layers has them; all where unset. */
  readonly layers?: string;
  /** LoRA+: the rate of B as a multiple of `lr`. */
  readonly loraplus_ratio?: number;
  readonly label_smoothing?: number;
  readonly neftune_alpha?: number;
  readonly lr: number;
  readonly scheduler: Schedule;
  readonly warmup: number;
  /** Length and shape of wsd's fall. */
  readonly lr_decay?: number;
  readonly lr_decay_shape?: Fall;
  readonly min_lr_ratio?: number;
  readonly weight_decay: number;
  readonly max_grad_norm: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly epochs: number;
  readonly iters?: number;
  readonly batch: number;
  readonly accum: number;
  readonly max_seq: number;
  /** Token places of one micro-batch; fitted where unset. */
  readonly micro_tokens?: number;
  readonly packing: boolean;
  readonly shuffle: boolean;
  readonly seed: number;
  readonly grad_checkpoint: "auto" | "on" | "off";
  readonly eval_every: "epoch" | number;
  readonly save_every?: number;
  readonly patience?: number;
  /** The measure by which weights are the best: "val_loss", "exact_match". */
  readonly best: string;
}

/** A run laid out, before any GPU: its batches, its recorded shapes, its memory. */
export interface Prepared {
  readonly model: Model;
  readonly rows: readonly TokenRow[];
  readonly validation: readonly TokenRow[];
  readonly targets: readonly string[];
  readonly settings: RunSettings;
  readonly lora: Lora | undefined;
  readonly batches: BatchPlan;
  readonly recipe: Recipe;
  readonly plan: RunPlan;
  /** Device bytes that it was fitted to. */
  readonly budget: number;
  /** Whether the plan is within them; else this is the smallest that these settings allow. */
  readonly fits: boolean;
}

const up = (n: number) => Math.ceil(n / 64) * 64;
/** Most tokens of one micro-batch, unless a single row is longer or the settings name a number. */
const BUDGET = 2048;
/** Every block once more is a third of the work; above this, blocks are computed several times. */
const DEAR = 0.4;

/**
 * Lays a run out and fits it to memory. Blocks are computed again first, because that changes no bit of
 * the result: runs on machines of different size agree as long as it is enough. Then micro-batches are
 * halved, down to the longest row; an optimiser step sees the same rows all the same. Last, where rows
 * are too long for that, blocks are computed more than once again.
 * @param targets the last names of the modules that get an adapter
 * @param budget device bytes that the run may take
 * @param objective what is minimised
 * @throws Fail (exit 3) for an empty dataset; (exit 2) when a target names no module of the model
 */
export function prepare(
  model: Model,
  rows: readonly TokenRow[],
  validation: readonly TokenRow[],
  targets: readonly string[],
  settings: RunSettings,
  budget = Infinity,
  objective: Objective = sft,
): Prepared {
  const lora = settings.full ? undefined : adapterOf(model, targets, settings);
  const textsOf = objective.together ? numbered() : () => undefined;
  const length = (row: TokenRow) => ({
    tokens: row.ids.length,
    targets: supervised(row),
    keys: row.ids.length + (row.pair?.shared ?? 0),
    texts: textsOf(row),
  });
  const shares = [...rows, ...validation].some(({ pair }) => pair && pair.shared > 0);
  const lengths = rows.map(length), checks = validation.map(length);
  const longest = [...lengths, ...checks].reduce((most, row) => Math.max(most, row.tokens), 1);
  const most = Math.max(settings.packing ? Math.min(settings.max_seq, BUDGET) : BUDGET, longest);

  const attempt = (tokens: number | undefined): Prepared => {
    // A sequence that is filled is what a step counts: of shorter ones it sees more.
    const share = settings.packing && tokens !== undefined ? Math.max(1, up(most) / tokens) : 1;
    const batches = layOut(lengths, {
      rows: Math.round(settings.batch * settings.accum * share),
      fill: settings.packing,
      epochs: settings.epochs,
      iterations: settings.iters,
      seed: settings.seed,
      shuffle: settings.shuffle,
      budget: tokens ?? up(most),
      exact: tokens !== undefined,
      least: checks.reduce((most, row) => Math.max(most, row.tokens), 0),
    });
    const top = (numbers: readonly number[]) => numbers.reduce((a, b) => Math.max(a, b), 0);
    const bins = pack([...checks.keys()], checks, batches.size.tokens);
    const answers = bins.map((bin) => bin.reduce((sum, row) => sum + checks[row]!.targets, 0));
    const size = {
      tokens: batches.size.tokens,
      targets: Math.max(batches.size.targets, up(top(answers))),
      rows: Math.max(batches.size.rows ?? 1, top(bins.map((bin) => bin.length))),
      keys: shares
        ? Math.max(batches.size.keys ?? 0, up(top(bins.map((bin) => keysOf(bin, checks)))))
        : undefined,
    };
    const { full, label_smoothing: smoothing, neftune_alpha: neftune } = settings;
    const { loraplus_ratio: plus } = settings;
    const recipe = { size, positions: longest, lora, full, objective, smoothing, neftune, plus };
    const mode = settings.grad_checkpoint;
    const fitted = fitRun(model, recipe, validation.length > 0, budget, mode);
    const fits = fitted.plan.bytes.total <= budget;
    return { model, rows, validation, targets, settings, lora, batches, ...fitted, budget, fits };
  };

  const { micro_tokens: told } = settings;
  if (objective.together) {
    const whole = wholeSteps(lengths, settings);
    if (told !== undefined && told < whole) throw parted(whole, told);
    return attempt(up(Math.max(told ?? 0, whole, longest)));
  }
  let best = attempt(told && Math.max(up(told), up(longest)));
  if (told !== undefined) return best;
  for (let tried = best; !best.fits || extra(best) > DEAR;) {
    const half = halved(tried);
    if (half === undefined) break;
    tried = attempt(half);
    if (!best.fits || tried.fits && extra(tried) < extra(best)) best = tried;
  }
  return best;
}

/** Gives equal texts of rows equal numbers. */
function numbered(): (row: TokenRow) => number[] {
  const known = new Map<string, number>();
  return ({ ids, texts = [] }) => {
    let from = 0;
    return texts.filter(({ length }) => length > 0).map(({ length }) => {
      const text = String(Array.prototype.slice.call(ids, from, from += length));
      return known.get(text) ?? (known.set(text, known.size), known.size - 1);
    });
  };
}

function parted(whole: number, told: number): Fail {
  return new Fail(`a batch of ${whole} tokens does not fit in ${told} token places`, {
    why: "its rows are compared with each other, so they must stay together",
    fix: "a smaller --batch, or no --micro-tokens",
    exit: Exit.usage,
  });
}

/** Tokens of the largest step, all its rows together. */
function wholeSteps(lengths: readonly RowLength[], s: RunSettings): number {
  const all = lengths.reduce((sum, { tokens }) => sum + tokens, 0);
  const plan = layOut(lengths, {
    rows: s.batch * s.accum,
    fill: false,
    epochs: s.epochs,
    iterations: s.iters,
    seed: s.seed,
    shuffle: s.shuffle,
    budget: Math.max(up(all), 64),
    exact: true,
  });
  let most = 1;
  // An epoch at least: a run that goes on further has room for the same batches.
  for (let step = 0; step < Math.max(plan.steps, plan.stepsPerEpoch); step++) {
    const rows = plan.at(step).micro.flat();
    most = Math.max(most, rows.reduce((sum, row) => sum + lengths[row]!.tokens, 0));
  }
  return most;
}

/** What computing blocks again adds to the work of a step, as a share of it. */
export const extra = ({ plan: { flops, extraFlops } }: Pick<Prepared, "plan">) =>
  extraFlops / (flops - extraFlops);

/** Token places of micro-batches half as large; undefined where the longest row needs those there are. */
export function halved({ recipe }: Pick<Prepared, "recipe">): number | undefined {
  if (objectiveOf(recipe).together) return undefined;
  const { size: { tokens }, positions } = recipe;
  const half = Math.max(up(tokens / 2), up(positions));
  return half < tokens ? half : undefined;
}

/** The same run laid out anew, with other settings or in another budget. */
export function again(
  p: Prepared,
  change: Partial<RunSettings>,
  budget = p.budget,
): Prepared {
  const settings = { ...p.settings, ...change };
  const { model, rows, validation, targets } = p;
  return prepare(model, rows, validation, targets, settings, budget, objectiveOf(p.recipe));
}
