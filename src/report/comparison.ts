import { humanBytes, humanSeconds, short } from "../base/text.ts";
import { smooth } from "./diagnose.ts";
import { STATUS } from "./facts.ts";
import { bestOf, type RunRecord } from "./record.ts";
import { page } from "./page.ts";
import { escape, lineChart, type Point, type Series, spansDecades } from "./svg.ts";

/** A run among others: what it has of its own, and what is known of it. */
export interface Compared {
  readonly choice: Readonly<Record<string, string>>;
  readonly record: RunRecord;
  /** Where its report is, as seen from the comparison. */
  readonly path: string;
}

export interface ComparedRow {
  readonly run: number;
  readonly choice: Readonly<Record<string, string>>;
  readonly path: string;
  readonly status: string;
  /** At the end; nats per supervised token. */
  readonly val_loss?: number;
  readonly best_ppl?: number;
  readonly best_val_loss?: number;
  readonly train_loss?: number;
  readonly seconds?: number;
  readonly mem_bytes?: number;
}

/** The numbers that runs are compared by, in the order they were made. */
export function rowsOf(runs: readonly Compared[]): ComparedRow[] {
  return runs.map(({ choice, record, path }, i) => {
    const { manifest, steps, evals } = record;
    const best = bestOf(evals);
    const train = smooth(steps.map((s) => s.loss), Math.max(1, steps.length / 20)).at(-1);
    const memory = steps.reduce((most, s) => Math.max(most, s.mem_bytes || 0), 0);
    return {
      run: i + 1,
      choice,
      path,
      status: manifest.status,
      val_loss: evals.at(-1)?.val_loss,
      best_ppl: best?.ppl,
      best_val_loss: best?.val_loss,
      train_loss: train,
      seconds: manifest.seconds,
      mem_bytes: memory > 0 ? memory : undefined,
    };
  });
}

const done = (row: ComparedRow) => row.status === "finished" || row.status === "early";

/** What a run is judged by: its best validation loss, or without measurements its training loss. */
const judged = (row: ComparedRow) => row.best_val_loss ?? row.train_loss ?? Infinity;

/** The run to take: the lowest of those that came to their end. */
export function winner(rows: readonly ComparedRow[]): ComparedRow | undefined {
  return rows.filter((row) => done(row) && Number.isFinite(judged(row)))
    .reduce<ComparedRow | undefined>((a, b) => !a || judged(b) < judged(a) ? b : a, undefined);
}

/** What a step from one value of a setting to the next brought, with all other settings the same. */
export interface Change {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  /** Share by which the loss fell, mean over the pairs of runs; negative where it rose. */
  readonly better: number;
  /** Time of the second over time of the first. */
  readonly cost: number;
  readonly pairs: number;
}

/** For every setting, its values in ascending order (where they are numbers) taken two by two. */
export function changes(rows: readonly ComparedRow[]): Change[] {
  const ended = rows.filter((row) => done(row) && Number.isFinite(judged(row)));
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row.choice)))];
  return keys.flatMap((key) => {
    const values = [...new Set(rows.map((row) => row.choice[key]!))];
    if (values.every((v) => Number.isFinite(Number(v)))) values.sort((a, b) => +a - +b);
    return values.slice(1).flatMap((to, i) => {
      const from = values[i]!;
      const pairs = ended.filter((row) => row.choice[key] === from).flatMap((a) => {
        const b = ended.find((row) =>
          keys.every((k) => row.choice[k] === (k === key ? to : a.choice[k]))
        );
        return b ? [[a, b] as const] : [];
      });
      if (pairs.length === 0) return [];
      const mean = (of: (a: ComparedRow, b: ComparedRow) => number) =>
        pairs.reduce((sum, [a, b]) => sum + of(a, b), 0) / pairs.length;
      return [{
        key,
        from,
        to,
        better: mean((a, b) => 1 - judged(b) / judged(a)),
        cost: mean((a, b) => (b.seconds ?? NaN) / (a.seconds ?? NaN)),
        pairs: pairs.length,
      }];
    });
  });
}

/** One sentence a change: where more is not worth it any more. `flat` is the share that is too small. */
export function verdicts(rows: readonly ComparedRow[], flat: number): string[] {
  return changes(rows).map(({ key, from, to, better, cost }) => {
    const percent = `${short(Math.abs(100 * better))} %`;
    const time = !Number.isFinite(cost) || Math.abs(cost - 1) < 0.1
      ? "in about the same time"
      : `in ${short(cost)} times the time`;
    const step = `${key} ${from} to ${to}`;
    if (better < -flat) return `${step}: the loss rises by ${percent}, ${time}`;
    return better < flat
      ? `${step}: the loss changes by only ${percent}, ${time}: not worth more`
      : `${step}: the loss falls by ${percent}, ${time}`;
  });
}

/** Settings as a short name: "lr=1e-4 rank=8". */
export const labelOf = (choice: Compared["choice"]) =>
  Object.entries(choice).map(([key, value]) => `${key}=${value}`).join(" ");

/** The comparison as one page that needs nothing else, the best run first to the eye. */
export function comparisonHtml(
  title: string,
  note: string | undefined,
  runs: readonly Compared[],
  flat: number,
): string {
  const rows = rowsOf(runs), best = winner(rows);
  return page(
    title,
    [
      `<header><h1>${escape(title)}</h1>` +
      `<span class="badge finished">${runs.length} runs</span></header>`,
      `<p class="sub">${escape(note ?? "compared by the best validation loss")}</p>`,
      best ? bestCard(best) : "",
      table(rows, best),
      curves(runs, best),
      judgement(rows, flat),
      "<footer>Every run's own report is in its folder.</footer>",
    ].join("\n"),
  );
}

function bestCard(best: ComparedRow): string {
  const loss = best.best_val_loss === undefined
    ? `training loss ${short(best.train_loss!)}; there were no rows to measure on`
    : `best validation loss ${short(best.best_val_loss)}` +
      (best.best_ppl === undefined ? "" : `, perplexity ${short(best.best_ppl)}`);
  return `<div class="card finding good best"><b>Best: ${escape(labelOf(best.choice))}</b><p>${
    escape(loss)
  }</p></div>`;
}

function table(rows: readonly ComparedRow[], best: ComparedRow | undefined): string {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row.choice)))];
  const heads = [
    "run",
    ...keys,
    "final val loss",
    "best perplexity",
    "training loss",
    "time",
    "memory",
  ];
  const cell = (text: string, look = "n") => `<td class="${look}">${escape(text)}</td>`;
  const number = (n: number | undefined) => n === undefined ? "" : short(n);
  const lines = rows.map((row) =>
    `<tr${row === best ? ' class="best"' : ""}><td><a href="${
      escape(encodeURI(`${row.path}/report.html`))
    }">${row.run}</a>${
      done(row) ? "" : ` ${escape(STATUS[row.status as keyof typeof STATUS] ?? row.status)}`
    }</td>` + keys.map((key) => cell(row.choice[key] ?? "")).join("") +
    cell(number(row.val_loss)) + cell(number(row.best_ppl)) + cell(number(row.train_loss)) +
    cell(row.seconds === undefined ? "" : humanSeconds(row.seconds)) +
    cell(row.mem_bytes === undefined ? "" : humanBytes(row.mem_bytes)) + "</tr>"
  );
  return `<h2>Runs</h2><div class="card scroll"><table><tr>${
    heads.map((head, i) => `<th${i > 0 ? ' class="n"' : ""}>${escape(head)}</th>`).join("")
  }</tr>${lines.join("")}</table></div>`;
}

function curves(runs: readonly Compared[], best: ComparedRow | undefined): string {
  const drawn = (title: string, of: (record: RunRecord) => Point[]) => {
    // The best run last, so that its line lies on top; all others in grey, told by their titles.
    const series = runs.map(({ choice, record }, i): Series => {
      const first = best?.run === i + 1;
      return {
        name: labelOf(choice),
        points: of(record),
        look: first ? "marks" : "other",
        color: 1,
      };
    }).sort((a, b) => Number(a.look === "marks") - Number(b.look === "marks"));
    if (series.every((s) => s.points.length === 0)) return "";
    const log = spansDecades(series.flatMap((s) => s.points));
    const key = best ? `<span class="key c1">${escape(labelOf(best.choice))}</span>` : "";
    return `<div class="card wide"><h3>${title}${log ? " (logarithmic)" : ""} ${key}` +
      `<span class="key">the others</span></h3>${
        lineChart({ title, x: "step", series, log })
      }</div>`;
  };
  const train = ({ steps }: RunRecord): Point[] => {
    const smoothed = smooth(steps.map((s) => s.loss), Math.max(1, steps.length / 20));
    const every = Math.max(1, Math.floor(steps.length / 60));
    return steps.flatMap((s, i): Point[] => i % every === 0 ? [[s.step, smoothed[i]!]] : []);
  };
  return `<h2>Curves</h2><div class="charts">${
    drawn("Validation loss", ({ evals }) => evals.map((e) => [e.step, e.val_loss] as const))
  }${drawn("Training loss, smoothed", train)}</div>`;
}

function judgement(rows: readonly ComparedRow[], flat: number): string {
  const said = verdicts(rows, flat);
  if (said.length === 0) return "";
  return `<h2>What each setting brings</h2><div class="card"><ul>${
    said.map((text) => `<li>${escape(text)}</li>`).join("")
  }</ul></div>`;
}
