import { createHash } from "node:crypto";
import { humanBytes, humanSeconds, short, thousands } from "../base/text.ts";
import { diagnose, smooth } from "./diagnose.ts";
import type { Metrics, RunRecord, Sample } from "./record.ts";
import { style } from "./style.ts";
import { beforeAfter, type Chart, escape, lineChart, type Point, type Series } from "./svg.ts";

/**
 * A run as one page that needs nothing else: no script, no font, no network. Its content security policy
 * allows this style sheet by its hash and forbids all else, so that text from models and data, which is
 * escaped besides, can do nothing.
 */
export function reportHtml(record: RunRecord): string {
  const { manifest } = record;
  const hash = createHash("sha256").update(style).digest("base64");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'">
<title>${escape(manifest.name)} · whet</title>
<style>${style}</style>
</head>
<body><main>
${head(record)}
${tiles(record)}
${measured(manifest.before, manifest.after)}
${curves(record)}
${findings(record)}
${samples(record.samples)}
${settings(record)}
${surroundings(record)}
<footer>Made by whet ${
    escape(manifest.whet.version)
  } from run.json and metrics.jsonl in this folder.</footer>
</main></body>
</html>
`;
}

const STATUS = {
  running: "running",
  finished: "finished",
  early: "stopped early: no better any more",
  stopped: "stopped, may be resumed",
  failed: "failed",
};

function head({ manifest }: RunRecord): string {
  const { name, status, model, data, started, error } = manifest;
  const when = started.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  return `<header><h1>${escape(name)}</h1>` +
    `<span class="badge ${status}">${STATUS[status]}</span></header>
<p class="sub">${escape(manifest.kind)} of ${escape(last(model.path))} on ${
      escape(last(data.path))
    } · ` +
    `${escape(when)}${error ? ` · ${escape(error)}` : ""}</p>`;
}

const last = (path: string) => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;

function tiles({ manifest, steps, evals }: RunRecord): string {
  const tile = (value: string, name: string) =>
    `<div class="tile"><b>${escape(value)}</b><span>${escape(name)}</span></div>`;
  const tiles: string[] = [];
  const final = smooth(steps.map((s) => s.loss), Math.max(1, steps.length / 20)).at(-1);
  if (final !== undefined) tiles.push(tile(short(final), "training loss at the end"));
  const finite = evals.filter((e) => Number.isFinite(e.val_loss));
  if (finite.length > 0) {
    const best = finite.reduce((a, b) => b.val_loss < a.val_loss ? b : a);
    tiles.push(tile(short(best.val_loss), `best validation loss, perplexity ${short(best.ppl)}`));
  }
  tiles.push(tile(thousands(steps.at(-1)?.step ?? 0), `of ${thousands(manifest.steps)} steps`));
  if (manifest.seconds !== undefined) tiles.push(tile(humanSeconds(manifest.seconds), "in all"));
  const speeds = steps.map((s) => s.tok_s).filter(Number.isFinite).sort((a, b) => a - b);
  if (speeds.length > 0) {
    tiles.push(tile(thousands(speeds[Math.floor(speeds.length / 2)]!), "tokens a second"));
  }
  const memory = steps.reduce((most, s) => Math.max(most, s.mem_bytes || 0), 0);
  if (memory > 0) tiles.push(tile(humanBytes(memory), "of GPU memory at most"));
  const { parameters, trainable } = manifest.model;
  if (parameters && trainable) {
    const percent = short((100 * trainable) / parameters);
    tiles.push(
      tile(thousands(trainable), `of ${thousands(parameters)} weights trained (${percent} %)`),
    );
  }
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
  const smoothed = (points: readonly Point[]): Point[] => {
    const values = points.map(([, y]) => y);
    const span = Math.max(1, points.length / 40);
    // From both ends, so that the curve does not lag behind what it smooths.
    const [there, back] = [smooth(values, span), smooth(values.toReversed(), span).reverse()];
    return points.map(([x], i) => [x, (there[i]! + back[i]!) / 2] as const);
  };
  const loss: Series[] = [
    { name: "training, each step", points: of("loss"), look: "faint", color: 1 },
    { name: "training, smoothed", points: smoothed(of("loss")), look: "line", color: 1 },
  ];
  if (evals.length > 0) {
    const points = evals.map((e) => [e.step, e.val_loss] as const);
    loss.push({ name: "validation", points, look: "marks", color: 2 });
  }
  const cards = [
    card({ title: "Loss", x: "step", series: loss }, true),
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
  return `<h2>Curves</h2><div class="charts">${cards.join("")}</div>`;
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

/** The last measurement's samples. */
function samples(all: readonly Sample[]): string {
  if (all.length === 0) return "";
  const newest = all.at(-1)!.step;
  const shown = all.filter((s) => s.step === newest).slice(0, 20);
  const line = (name: string, text: string, look = "") =>
    `<div><span>${name}</span><pre${look ? ` class="${look}"` : ""}>${escape(text)}</pre></div>`;
  const cards = shown.map(({ prompt, output, expected }) => {
    const same = expected === undefined ? "" : output.trim() === expected.trim() ? "same" : "other";
    return `<div class="card sample">${line("asked", prompt)}${line("answered", output, same)}` +
      `${same === "other" ? line("expected", expected!) : ""}</div>`;
  });
  return `<h2>Answers${newest === undefined ? "" : ` after step ${newest}`}</h2>${cards.join("")}`;
}

function settings({ manifest }: RunRecord): string {
  const rows = Object.entries(manifest.settings).filter(([, value]) => value !== undefined)
    .map(([key, value]) => `<tr><th>${escape(key)}</th><td>${escape(shown(value))}</td></tr>`);
  const half = Math.ceil(rows.length / 2);
  return `<h2>Settings</h2><div class="card pair"><table>${rows.slice(0, half).join("")}</table>` +
    `<table>${rows.slice(half).join("")}</table></div>`;
}

function shown(value: unknown): string {
  if (typeof value === "number") return short(value);
  if (Array.isArray(value)) return value.map(shown).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function surroundings({ manifest }: RunRecord): string {
  const { model, data, validation, adapter, device, whet } = manifest;
  const rows: [string, string | undefined][] = [
    ["base model", model.path],
    ["architecture", model.type],
    ["base model sha256", model.sha256],
    ["training rows", `${data.path}, ${thousands(data.rows)} rows${tokens(data.tokens)}`],
    ["training rows sha256", data.sha256],
    ["validation rows", validation && `${validation.path}, ${thousands(validation.rows)} rows`],
    ["adapter", adapter?.path],
    ["adapter sha256", adapter?.sha256],
    ["device", typeof device.adapter === "string" ? device.adapter : undefined],
    ["driver", typeof device.driver === "string" ? device.driver : undefined],
    ["graphics interface", typeof device.backend === "string" ? device.backend : undefined],
    ["whet", `${whet.version} (${whet.commit})`],
    ["git commit", manifest.git_commit],
    ["command", manifest.command?.join(" ")],
  ];
  const cells = rows.filter(([, text]) => text)
    .map(([name, text]) => `<tr><th>${name}</th><td>${escape(text!)}</td></tr>`);
  return `<h2>Where it comes from</h2><div class="card"><table>${cells.join("")}</table></div>`;
}

const tokens = (n: number | undefined) => n === undefined ? "" : `, ${thousands(n)} tokens`;
