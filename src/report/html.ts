import { short } from "../base/text.ts";
import { diagnose, smooth } from "./diagnose.ts";
import { headline, origins, settingsTold, STATUS, subtitle } from "./facts.ts";
import { gradientsByLayer, movementByModule } from "./layers.ts";
import { page } from "./page.ts";
import {
  byQuestion,
  type EvalPoint,
  type Metrics,
  type Rewards,
  type RunRecord,
  type Sample,
  type StepPoint,
} from "./record.ts";
import {
  beforeAfter,
  type Chart,
  escape,
  heatMap,
  lineChart,
  type Point,
  type Series,
  spansDecades,
} from "./svg.ts";

/** A run as one page: see `page`. */
export function reportHtml(record: RunRecord): string {
  const { manifest } = record;
  return page(
    manifest.name,
    [
      head(record),
      tiles(record),
      measured(manifest.before, manifest.after),
      curves(record),
      layers(record),
      findings(record),
      samples(record.samples),
      settings(record),
      surroundings(record),
      `<footer>Made by whet ${
        escape(manifest.whet.version)
      } from run.json and metrics.jsonl in this folder.</footer>`,
    ].join("\n"),
  );
}

function head({ manifest }: RunRecord): string {
  const { name, status, error } = manifest;
  return `<header><h1>${escape(name)}</h1>` +
    `<span class="badge ${status}">${STATUS[status]}</span></header>
<p class="sub">${escape(subtitle(manifest))}${error ? ` · ${escape(error)}` : ""}</p>`;
}

function tiles(record: RunRecord): string {
  const tiles = headline(record).map(([value, name]) =>
    `<div class="tile"><b>${escape(value)}</b><span>${escape(name)}</span></div>`
  );
  return `<div class="tiles">${tiles.join("")}</div>`;
}

function measured(before: Metrics | undefined, after: Metrics | undefined): string {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  if (names.length === 0) return "";
  const show = (value: number | undefined) => value === undefined ? "" : short(value);
  const rows = names.map((name) => {
    const [was, is] = [before?.[name], after?.[name]];
    const shares = [was, is].every((v) => v === undefined || (v >= 0 && v <= 1));
    const better = was !== undefined && is !== undefined && is > was && shares;
    return `<tr><th>${escape(name.replaceAll("_", " "))}</th><td class="n">${show(was)}</td>` +
      `<td class="n${better ? " up" : ""}">${show(is)}</td>` +
      `<td>${shares ? beforeAfter(was, is) : ""}</td></tr>`;
  });
  return `<h2>What it learnt</h2><div class="card scroll"><table>` +
    `<tr><th>measured on rows it never saw</th><td class="n">before</td><td class="n">after</td><td></td></tr>` +
    `${rows.join("")}</table></div>`;
}

function curves({ steps, evals }: RunRecord): string {
  if (steps.length === 0) return `<h2>Curves</h2><p class="empty">No step was made.</p>`;
  const of = (key: "loss" | "lr" | "grad_norm" | "tok_s"): Point[] =>
    steps.map((s) => [s.step, s[key]] as const);
  const smoothed = (points: readonly Point[], log = false): Point[] => {
    const values = points.map(([, y]) => log ? Math.log(y) : y);
    const span = Math.max(1, points.length / 40);
    // From both ends, so that the curve does not lag behind what it smooths.
    const [there, back] = [smooth(values, span), smooth(values.toReversed(), span).reverse()];
    return points.map(([x], i) => {
      const y = (there[i]! + back[i]!) / 2;
      return [x, log ? Math.exp(y) : y] as const;
    });
  };
  const measured: Point[] = evals.map((e) => [e.step, e.val_loss] as const);
  const log = spansDecades([...smoothed(of("loss")), ...measured]);
  const loss: Series[] = [
    { name: "training, each step", points: of("loss"), look: "faint", color: 1 },
    { name: "training, smoothed", points: smoothed(of("loss"), log), look: "line", color: 1 },
  ];
  if (evals.length > 0) {
    loss.push({ name: "validation", points: measured, look: "marks", color: 2 });
  }
  const cards = [
    card({ title: log ? "Loss (logarithmic)" : "Loss", x: "step", series: loss, log }, true),
    card({
      title: "Learning rate",
      x: "step",
      zero: true,
      series: [{ name: "rate", points: of("lr"), look: "line", color: 3 }],
    }),
    card({
      title: "Gradient norm before clipping",
      x: "step",
      zero: true,
      series: [
        { name: "each step", points: of("grad_norm"), look: "faint", color: 4 },
        { name: "smoothed", points: smoothed(of("grad_norm")), look: "line", color: 4 },
      ],
    }),
  ];
  if (steps.some((s) => s["rewards/margins"] !== undefined)) cards.push(...rewards(steps, evals));
  return `<h2>Curves</h2><div class="charts">${cards.join("")}</div>`;
}

/** What training on pairs is judged by: whether the chosen answer is preferred, and by how much. */
function rewards(steps: readonly StepPoint[], evals: readonly EvalPoint[]): string[] {
  const of = (points: readonly (StepPoint | EvalPoint)[], key: keyof Rewards): Point[] =>
    points.filter((p) => p[key] !== undefined).map((p) => [p.step, p[key]!] as const);
  const both = (title: string, keys: readonly (readonly [keyof Rewards, string])[]) =>
    card({
      title,
      x: "step",
      series: keys.flatMap(([key, name], i): Series[] => [
        { name, points: of(steps, key), look: "line", color: i === 0 ? 1 : 4 },
        ...evals.length === 0 ? [] : [
          {
            name: `${name}, validation`,
            points: of(evals, key),
            look: "marks",
            color: i === 0 ? 2 : 3,
          } as const,
        ],
      ]),
    });
  return [
    both("Rewards", [["rewards/chosen", "chosen"], ["rewards/rejected", "rejected"]]),
    both("Reward margin", [["rewards/margins", "training"]]),
    // Answers without a pair have none.
    ...of(steps, "rewards/accuracies").length > 0
      ? [both("Pairs the right way round", [["rewards/accuracies", "training"]])]
      : [],
  ];
}

function card(chart: Chart, wide = false): string {
  const keys = chart.series.length > 1
    ? chart.series.map((s) =>
      `<span class="key c${s.color}${s.look === "faint" ? " pale" : ""}">${escape(s.name)}</span>`
    ).join("")
    : "";
  return `<div class="card${wide ? " wide" : ""}"><h3>${escape(chart.title)} ${keys}</h3>` +
    `${lineChart({ ...chart, width: wide ? 1080 : 530 })}</div>`;
}

function layers({ layers }: RunRecord): string {
  if (layers.length === 0) return "";
  const maps = [
    [gradientsByLayer(layers), "Gradient norm by layer through the run", "layer", "step"],
    [movementByModule(layers), "Update against weights, mean by module", "module", "layer"],
  ] as const;
  const cards = maps.map(([field, title, rows, columns]) =>
    `<div class="card"><h3>${title}</h3>${heatMap(field, { title, rows, columns }, 530)}</div>`
  );
  return `<h2>Where it learns</h2><div class="charts">${cards.join("")}</div>`;
}

function findings(record: RunRecord): string {
  const found = diagnose(record);
  const warned = [...new Set(record.warnings)].map((text) =>
    ({ level: "warning", title: "Warned while running", text }) as const
  );
  const items = [...found, ...warned].map(({ level, title, text }) =>
    `<div class="card finding ${level}"><b>${escape(title)}</b><p>${escape(text)}</p></div>`
  );
  return `<h2>What the curves say</h2><div class="findings">${items.join("")}</div>`;
}

/** The last answer to every question asked, and below it how the answer came to be. */
function samples(all: readonly Sample[]): string {
  if (all.length === 0) return "";
  const line = (name: string, text: string, look = "") =>
    `<div><span>${name}</span><pre${look ? ` class="${look}"` : ""}>${escape(text)}</pre></div>`;
  const look = ({ output, expected }: Sample) =>
    expected === undefined ? "" : output.trim() === expected.trim() ? "same" : "other";
  const cards = byQuestion(all).slice(0, 20).map((answers) => {
    const last = answers.at(-1)!, before = answers.slice(0, -1);
    const earlier = before.length === 0
      ? ""
      : `<details><summary>${
        before.length === 1 ? "the answer before" : `the ${before.length} other answers before`
      }</summary>${
        before.map((a) => line(`step ${a.step ?? "?"}`, a.output, look(a))).join("")
      }</details>`;
    return `<div class="card sample">${line("asked", last.prompt)}${
      line("answered", last.output, look(last))
    }${look(last) === "other" ? line("expected", last.expected!) : ""}${earlier}</div>`;
  });
  const newest = all.at(-1)!.step;
  return `<h2>Answers${newest === undefined ? "" : ` after step ${newest}`}</h2>${cards.join("")}`;
}

function settings({ manifest }: RunRecord): string {
  const rows = settingsTold(manifest)
    .map(([key, value]) => `<tr><th>${escape(key)}</th><td>${escape(value)}</td></tr>`);
  const half = Math.ceil(rows.length / 2);
  return `<h2>Settings</h2><div class="card pair"><table>${rows.slice(0, half).join("")}</table>` +
    `<table>${rows.slice(half).join("")}</table></div>`;
}

function surroundings({ manifest }: RunRecord): string {
  const cells = origins(manifest)
    .map(([name, text]) => `<tr><th>${name}</th><td>${escape(text)}</td></tr>`);
  return `<h2>Where it comes from</h2><div class="card"><table>${cells.join("")}</table></div>`;
}
