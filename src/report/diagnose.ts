import { humanSeconds, plural, short } from "../base/text.ts";
import { idleModules } from "./layers.ts";
import { bestOf, type EvalPoint, type RunRecord, type StepPoint } from "./record.ts";

/** One thing that the curves say, and what to do about it. */
export interface Finding {
  readonly level: "good" | "note" | "warning";
  readonly title: string;
  readonly text: string;
}

/**
 * Exponential moving average with its start corrected (as Adam corrects its moments), so that the first
 * points are means of what is there and not pulled to zero.
 * @param span number of points over which a value's weight falls to 1/e
 */
export function smooth(values: readonly number[], span: number): number[] {
  const keep = Math.exp(-1 / Math.max(span, 1e-9));
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (Number.isFinite(value)) {
      sum = keep * sum + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
    }
    return weight > 0 ? sum / weight : NaN;
  });
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** What the curves of a run say: convergence, over-fitting, gradients, anomalies. */
export function diagnose(record: RunRecord): Finding[] {
  const { steps, evals, manifest } = record;
  return [
    ...convergence(steps),
    ...fit(steps, evals, Number(manifest.validation?.rows ?? 0)),
    ...gradients(steps, Number(manifest.settings.max_grad_norm ?? 0)),
    ...spikes(steps),
    ...stalls(steps),
    ...idle(record),
    ...share(record),
  ];
}

function convergence(steps: readonly StepPoint[]): Finding[] {
  const losses = steps.map((s) => s.loss).filter(Number.isFinite);
  if (losses.length < 12) {
    return [{
      level: "note",
      title: "Too short to judge",
      text: `${losses.length} steps were made; a curve says something from about a dozen on.`,
    }];
  }
  const third = Math.floor(losses.length / 3);
  const first = mean(losses.slice(0, third));
  const middle = mean(losses.slice(third, 2 * third));
  const last = mean(losses.slice(2 * third));
  const numbers = `Mean loss by thirds of the run: ${[first, middle, last].map(short).join(", ")}.`;
  if (last > first * 1.02) {
    return [{
      level: "warning",
      title: "The loss rose",
      text: `${numbers} A lower --lr or a longer --warmup is the usual remedy.`,
    }];
  }
  // Noise of single steps around the trend, against what the trend itself achieved.
  const trend = smooth(losses, Math.max(3, losses.length / 20));
  const noise = mean(losses.map((v, i) => Math.abs(v - trend[i]!)).slice(third));
  if (noise > Math.max(first - last, 0.02 * first) * 1.5) {
    return [{
      level: "note",
      title: "The loss oscillates",
      text: `${numbers} Single steps differ more than the run improved: a larger effective batch ` +
        "(--accum) or a lower --lr calms it.",
    }];
  }
  const recent = (middle - last) / Math.max(first - last, 1e-12);
  if (recent < 0.1) {
    return [{
      level: "good",
      title: "Converged: the loss fell and levelled off",
      text: `${numbers} More epochs would change little.`,
    }];
  }
  return [{
    level: "good",
    title: "The loss fell to the end",
    text:
      `${numbers} It was still falling: more epochs may help, as long as the validation loss falls.`,
  }];
}

function fit(steps: readonly StepPoint[], evals: readonly EvalPoint[], rows: number): Finding[] {
  const points = evals.filter((e) => Number.isFinite(e.val_loss));
  if (points.length === 0) {
    return [{
      level: "note",
      title: "Nothing to measure on",
      text: "Without --val rows, over-fitting cannot be seen.",
    }];
  }
  const findings: Finding[] = [];
  const last = points.at(-1)!, base = points.find((e) => e.baseline);
  const best = bestOf(points) ?? last;
  if (base && best !== base && best.val_loss >= base.val_loss) {
    findings.push({
      level: "warning",
      title: "Never better than the untrained base",
      text:
        `The base has a validation loss of ${short(base.val_loss)}, the best after training is ` +
        `${short(best.val_loss)}. The rows differ from the validation rows, or --lr is far off.`,
    });
  }
  if (points.length > 1 && last.val_loss > best.val_loss * 1.02) {
    findings.push({
      level: "warning",
      title: `Over-fitting after epoch ${short(best.epoch)}`,
      text:
        `The validation loss was lowest at step ${best.step} (${
          short(best.val_loss)
        }) and rose to ` +
        `${short(last.val_loss)}. Use that checkpoint, or train again with --epochs ` +
        `${Math.max(1, Math.round(best.epoch))} or --patience 2.`,
    });
  } else if (points.length > 1) {
    findings.push({
      level: "good",
      title: `Best at epoch ${short(best.epoch)}`,
      text: `The validation loss went from ${short(points[0]!.val_loss)} to ${
        short(last.val_loss)
      }.`,
    });
  }
  const tail = steps.slice(-Math.max(1, Math.floor(steps.length / 10))).map((s) => s.loss);
  const train = mean(tail.filter(Number.isFinite));
  if (Number.isFinite(train) && last.val_loss > 1.5 * train && last.val_loss - train > 0.2) {
    findings.push({
      level: "note",
      title: "The training rows are learnt better than others",
      text:
        `Training loss ${short(train)}, validation loss ${short(last.val_loss)}: more or more ` +
        "varied rows would do more than more epochs.",
    });
  }
  if (rows > 0 && rows < 30) {
    findings.push({
      level: "note",
      title: `Only ${rows} validation rows`,
      text: "Differences between measurements are mostly chance below about 30 rows.",
    });
  }
  return findings;
}

function gradients(steps: readonly StepPoint[], clip: number): Finding[] {
  const norms = steps.map((s) => s.grad_norm);
  const finite = norms.filter(Number.isFinite);
  const findings: Finding[] = [];
  const lost = norms.length - finite.length;
  if (lost > 0) {
    findings.push({
      level: "warning",
      title: `${lost} steps were not applied`,
      text:
        "Their gradients were not finite numbers. A lower --lr helps; so does looking at those rows.",
    });
  }
  if (finite.length < 12) return findings;
  const clipped = clip > 0 ? finite.filter((n) => n > clip).length / finite.length : 0;
  if (clipped > 0.5) {
    findings.push({
      level: "note",
      title: `${Math.round(clipped * 100)} % of the steps were clipped`,
      text: `The gradient norm (median ${short(median(finite))}) is mostly above --max-grad-norm ` +
        `${short(clip)}, so the clip sets the size of the steps.`,
    });
  }
  const start = median(finite.slice(0, Math.ceil(finite.length / 10)));
  const end = median(finite.slice(-Math.ceil(finite.length / 10)));
  if (end < start * 1e-3) {
    findings.push({
      level: "warning",
      title: "The gradients vanished",
      text: `Their norm fell from ${short(start)} to ${short(end)}: nothing is learnt any more.`,
    });
  } else if (end > start * 50) {
    findings.push({
      level: "warning",
      title: "The gradients exploded",
      text: `Their norm rose from ${short(start)} to ${short(end)}: lower --lr.`,
    });
  }
  return findings;
}

/** Steps whose loss stands out from its neighbours by far more than usual (robust z-score above 8). */
function spikes(steps: readonly StepPoint[]): Finding[] {
  if (steps.length < 24) return [];
  const trend = smooth(steps.map((s) => s.loss), 8);
  const off = steps.map((s, i) => i === 0 ? 0 : s.loss - trend[i - 1]!);
  const usual = median(off.map(Math.abs).filter(Number.isFinite)) * 1.4826;
  const found = steps.filter((_, i) =>
    i > 8 && off[i]! > 8 * usual && off[i]! > 0.1 * trend[i - 1]!
  );
  if (found.length === 0) return [];
  const list = found.slice(0, 5).map((s) => `step ${s.step} (${short(s.loss)})`).join(", ");
  return [{
    level: "note",
    title: found.length === 1 ? "A spike in the loss" : `${found.length} spikes in the loss`,
    text: `${list}${found.length > 5 ? ", …" : ""}: usually rows unlike the others.`,
  }];
}

/** Steps that took far longer than their neighbours: the machine did something else. */
function stalls(steps: readonly StepPoint[]): Finding[] {
  if (steps.length < 24) return [];
  const usual = median(steps.slice(1).map((s) => s.ms));
  // The first step warms the caches of the driver up.
  const found = steps.slice(1).filter((s) => s.ms > 8 * usual && s.ms > usual + 1000);
  if (found.length === 0) return [];
  const lost = found.reduce((sum, s) => sum + s.ms - usual, 0) / 1000;
  return [{
    level: "note",
    title: found.length === 1 ? "A step stalled" : `${found.length} steps stalled`,
    text: `The longest took ${short(Math.max(...found.map((s) => s.ms)) / 1000)} s where ${
      short(usual / 1000)
    } s is usual; ${
      humanSeconds(lost)
    } were lost. Another program used the GPU, or memory ran short.`,
  }];
}

function idle({ layers }: RunRecord): Finding[] {
  const modules = layers.length < 3 ? [] : idleModules(layers);
  if (modules.length === 0) return [];
  return [{
    level: "warning",
    title: `${plural(modules.length, "module")} never had a gradient`,
    text: `${modules.slice(0, 4).join(", ")}${modules.length > 4 ? ", …" : ""}: ` +
      "nothing they do reaches the loss, so their adapters learn nothing.",
  }];
}

function share({ manifest }: RunRecord): Finding[] {
  const { parameters, trainable } = manifest.model;
  if (!parameters || !trainable || manifest.settings.full === true) return [];
  const percent = (100 * trainable) / parameters;
  if (percent < 1 || parameters < 1e8) return [];
  return [{
    level: "note",
    title: `The adapter has ${short(percent)} % of the weights`,
    text: "Above 1 % is unusual: a smaller --rank or fewer --target layers are often as good.",
  }];
}
