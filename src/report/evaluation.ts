import { short } from "../base/text.ts";
import { script, scriptStyle } from "./evaluation_script.ts";
import { page } from "./page.ts";
import { calibrationChart, confusionMap, escape, shareBar } from "./svg.ts";

/** What the page of an evaluation shows. Shares are in [0, 1]. */
export interface EvaluationPage {
  readonly title: string;
  readonly subtitle: string;
  /** The figures on top. */
  readonly tiles: readonly (readonly [value: string, name: string])[];
  /** What the comparison with the base says, sentence by sentence. */
  readonly verdict: readonly string[];
  readonly measures: readonly Measured[];
  readonly signs: readonly string[];
  readonly confusions: readonly (Confusion & { readonly title: string })[];
  readonly reliability?: readonly Bin[];
  /** Below the diagram: "calibration error 0.04, Brier score 0.08". */
  readonly calibration?: string;
  readonly slots: readonly Slot[];
  readonly slices: readonly {
    readonly name: string;
    readonly values: readonly Slice[];
  }[];
  readonly adversarial: readonly Slice[];
  /** Those that failed first. */
  readonly examples: readonly Shown[];
  /** How many more there are than `examples`. */
  readonly left: number;
  readonly origins: readonly (readonly [name: string, text: string])[];
}

export interface Measured {
  readonly name: string;
  readonly before?: string;
  readonly after: string;
  /** In points, with its interval. */
  readonly change?: string;
  readonly better?: boolean;
  /** Where it is a share: of base and tuned model. */
  readonly shares?: readonly [before: number | undefined, after: number];
}

export interface Confusion {
  readonly names: readonly string[];
  readonly counts: readonly (readonly number[])[];
}

export interface Bin {
  readonly low: number;
  readonly high: number;
  readonly n: number;
  readonly confidence: number;
  readonly accuracy: number;
}

export interface Slot {
  readonly path: string;
  readonly of: number;
  readonly accuracy: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export interface Slice {
  readonly name: string;
  readonly n: number;
  readonly share: number;
  readonly interval: readonly [low: number, high: number];
  /** Of the base. */
  readonly before?: number;
}

export interface Shown {
  readonly line: number;
  readonly right: boolean;
  /** What it counts as, for the filters: "metadata.kind plain". */
  readonly tags: readonly string[];
  readonly prompt: string;
  readonly expected: string;
  readonly predicted: string;
  /** Of the base, where it was measured, and whether it was right. */
  readonly before?: { readonly text: string; readonly right: boolean };
  /** Paths that differ. */
  readonly differences: readonly {
    readonly path: string;
    readonly got: string;
    readonly want: string;
  }[];
  /** What else is wrong with it: not JSON, refused by the schema. */
  readonly notes: readonly string[];
  /** "confidence 0.9, execute". */
  readonly told: string;
}

/** One page that explains an evaluation to somebody who was not there; see `page`. */
export function evaluationHtml(it: EvaluationPage): string {
  return page(
    it.title,
    [
      `<header><h1>${escape(it.title)}</h1></header><p class="sub">${escape(it.subtitle)}</p>`,
      `<div class="tiles">${
        it.tiles.map(([value, name]) =>
          `<div class="tile"><b>${escape(value)}</b><span>${escape(name)}</span></div>`
        ).join("")
      }</div>`,
      findings(it),
      measured(it.measures),
      charts(it),
      slices(it),
      slots(it.slots),
      examples(it),
      `<h2>Where it comes from</h2><div class="card"><table>${
        it.origins.map(([name, text]) =>
          `<tr><th>${escape(name)}</th><td>${escape(text)}</td></tr>`
        )
          .join("")
      }</table></div>`,
    ].join("\n"),
    { script, style: scriptStyle },
  );
}

function findings({ verdict, signs }: EvaluationPage): string {
  const items = [
    ...(verdict.length > 0
      ? [
        `<div class="card finding good"><b>${escape(verdict[0]!)}</b><p>${
          escape(verdict.slice(1).join(" "))
        }</p></div>`,
      ]
      : []),
    ...signs.map((text) =>
      `<div class="card finding warning"><b>A sign of pattern-matching</b><p>${
        escape(text)
      }</p></div>`
    ),
  ];
  return items.length === 0 ? "" : `<h2>In words</h2><div class="findings">${items.join("")}</div>`;
}

function measured(all: readonly Measured[]): string {
  if (all.length === 0) return "";
  const compared = all.some(({ before }) => before !== undefined);
  const rows = all.map(({ name, before, after, change, better, shares }) =>
    `<tr><th>${escape(name)}</th>` +
    (compared ? `<td class="n">${escape(before ?? "")}</td>` : "") +
    `<td class="n${better ? " up" : ""}">${escape(after)}</td>` +
    (compared ? `<td class="n">${escape(change ?? "")}</td>` : "") +
    `<td>${shares ? shareBar(shares[1], shares[0]) : ""}</td></tr>`
  );
  const head = compared
    ? `<td class="n">base</td><td class="n">tuned</td><td class="n">points, 95 % interval</td>`
    : `<td></td>`;
  return `<h2>Measures</h2><div class="card scroll"><table><tr><th></th>${head}<td></td></tr>${
    rows.join("")
  }</table></div>`;
}

function charts({ confusions, reliability, calibration }: EvaluationPage): string {
  const cards = confusions.map(({ title, ...of }) =>
    `<div class="card"><h3>${
      escape(title)
    } <span class="aside">rows: expected, columns: given</span>` +
    `</h3>${confusionMap(of, title, 530)}</div>`
  );
  if (reliability) {
    cards.push(
      `<div class="card"><h3>Is the confidence deserved? <span class="key c2">right</span></h3>` +
        `${calibrationChart(reliability, 530)}<p class="sub">${
          escape(calibration ?? "")
        }</p></div>`,
    );
  }
  if (cards.length === 0) return "";
  return `<h2>Decisions and confidence</h2><div class="charts">${cards.join("")}</div>`;
}

function slices({ slices, adversarial }: EvaluationPage): string {
  const groups = [
    ...slices.map(({ name, values }) => [`Right, by ${name}`, values] as const),
    ...(adversarial.length > 0 ? [["Adversarial rows passed", adversarial] as const] : []),
  ];
  if (groups.length === 0) return "";
  const cards = groups.map(([title, values]) => {
    const rows = values.map(({ name, n, share, interval: [low, high], before }) =>
      `<tr><th>${escape(name)}</th><td class="n">${n}</td><td class="n">${percent(share)}</td>` +
      `<td class="n soft">${percent(low)} to ${percent(high)}</td><td>${
        shareBar(share, before, [low, high])
      }</td></tr>`
    );
    return `<div class="card scroll"><h3>${escape(title)}</h3><table>${
      rows.join("")
    }</table></div>`;
  });
  return `<h2>Slices</h2><div class="findings">${cards.join("")}</div>`;
}

function slots(all: readonly Slot[]): string {
  if (all.length === 0) return "";
  const rows = all.map(({ path, of, accuracy, precision, recall, f1 }) =>
    `<tr><th>${escape(path)}</th><td class="n">${of}</td>` +
    [accuracy, precision, recall, f1].map((n) => `<td class="n">${percent(n)}</td>`).join("") +
    `<td>${shareBar(f1)}</td></tr>`
  );
  return `<h2>Slot by slot</h2><div class="card scroll"><table><tr><th></th>${
    ["rows", "all right", "precision", "recall", "F1"].map((n) => `<td class="n">${n}</td>`).join(
      "",
    )
  }<td></td></tr>${rows.join("")}</table></div>`;
}

function examples({ examples: all, left }: EvaluationPage): string {
  if (all.length === 0) return "";
  const tags = [...new Set(all.flatMap((one) => one.tags))];
  const failed = all.filter(({ right }) => !right).length;
  const option = (value: string, text = value) =>
    `<option value="${escape(value)}">${escape(text)}</option>`;
  const bar = `<div class="filter" hidden><input type="search" placeholder="Search in all texts" ` +
    `aria-label="Search"><select aria-label="Which">` +
    option("", `all ${all.length}`) + option("wrong", `wrong: ${failed}`) +
    option("right", `right: ${all.length - failed}`) +
    (all.some(({ before }) => before)
      ? option("won", "wrong before, right now") + option("lost", "right before, wrong now")
      : "") +
    `</select><select aria-label="Slice">${option("", "every slice")}${
      tags.map((tag) => option(tag)).join("")
    }</select><output></output></div>`;
  const more = left > 0
    ? `<p class="empty">${left} more answers are left out here; --predictions writes all.</p>`
    : "";
  return `<h2 id="answers">Answers, those that failed first</h2>${bar}<div id="examples">${
    all.map(example).join("\n")
  }</div>${more}`;
}

function example(one: Shown): string {
  const { right, before, differences, notes, tags, line, told } = one;
  const state = [
    right ? "right" : "wrong",
    before && !before.right && right ? "won" : "",
    before?.right && !right ? "lost" : "",
  ].filter(Boolean).join(" ");
  const row = (name: string, text: string, look = "") =>
    `<div><span>${name}</span><pre${look ? ` class="${look}"` : ""}>${escape(text)}</pre></div>`;
  const differing = differences.length === 0
    ? ""
    : `<div><span>differs in</span><table class="diff">${
      differences.map(({ path, got, want }) =>
        `<tr><th>${escape(path)}</th><td><del>${escape(got)}</del></td><td><ins>${
          escape(want)
        }</ins></td></tr>`
      ).join("")
    }</table></div>`;
  return `<article class="card sample ${right ? "ok" : "bad"}" data-state="${state}" data-tags="${
    escape(JSON.stringify(tags))
  }"><h3><span class="mark">${right ? "right" : "wrong"}</span> line ${line} <span class="aside">${
    escape([told, ...tags].filter(Boolean).join(" · "))
  }</span></h3>${row("asked", one.prompt)}${
    row("answered", one.predicted, right ? "same" : "other")
  }${right ? "" : row("expected", one.expected)}${differing}${
    notes.map((text) => row("note", text)).join("")
  }${
    before
      ? `<details><summary>the base answered ${before.right ? "right" : "wrong"}</summary>${
        row("base", before.text, before.right ? "same" : "other")
      }</details>`
      : ""
  }</article>`;
}

const percent = (n: number) => `${short(Math.round(1000 * n) / 10)} %`;
