import { short, sparkline } from "../base/text.ts";
import { diagnose } from "./diagnose.ts";
import { headline, origins, settingsTold, STATUS, subtitle } from "./facts.ts";
import { gradientsByLayer } from "./layers.ts";
import { byQuestion, type RunRecord, type Sample } from "./record.ts";

/** The same report as text: for a merge request, a terminal, a reader without a browser. */
export function reportMarkdown(record: RunRecord): string {
  const { manifest } = record;
  return [
    `# ${cell(manifest.name)}: ${STATUS[manifest.status]}`,
    cell(subtitle(manifest)) + (manifest.error ? `\n\n**${cell(manifest.error)}**` : ""),
    table(["", ""], headline(record).map(([value, name]) => [name, `**${value}**`])),
    ...learnt(record),
    ...curves(record),
    ...layers(record),
    "## What the curves say",
    diagnose(record).map(({ level, title, text }) =>
      `- ${level === "warning" ? "**Warning.** " : ""}**${cell(title)}.** ${cell(text)}`
    ).concat(
      [...new Set(record.warnings)].map((text) => `- **Warned while running.** ${cell(text)}`),
    )
      .join("\n"),
    ...answers(record.samples),
    "## Settings",
    table(["setting", "value"], settingsTold(manifest)),
    "## Where it comes from",
    table(["", ""], origins(manifest)),
  ].join("\n\n") + "\n";
}

/** One line, with what would end a table cell or begin markup made harmless. */
const cell = (text: string) =>
  text.replace(/\s+/g, " ").replace(/[\\|*_<>`[\]#]/g, (c) => `\\${c}`);

/** Cells in bold are ours; all others are shown as they are. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((c) => /^\*\*[^*|]*\*\*$/.test(c) ? c : cell(c)).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

function learnt({ manifest: { before, after } }: RunRecord): string[] {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  if (names.length === 0) return [];
  const show = (value: number | undefined) => value === undefined ? "" : short(value);
  return [
    "## What it learnt",
    table(
      ["measured on rows it never saw", "before", "after"],
      names.map((n) => [n.replaceAll("_", " "), show(before?.[n]), show(after?.[n])]),
    ),
  ];
}

function curves({ steps, evals }: RunRecord): string[] {
  if (steps.length === 0) return ["## Curves", "No step was made."];
  const lines = (["loss", "lr", "grad_norm"] as const).map((key) => {
    const values = steps.map((s) => s[key]);
    const finite = values.filter(Number.isFinite);
    const [low, high] = finite.reduce(([l, h], v) => [Math.min(l, v), Math.max(h, v)], [
      Infinity,
      -Infinity,
    ]);
    return `${key.padEnd(10)} ${sparkline(values, 60)}  ${short(values[0]!)} to ${
      short(values.at(-1)!)
    }, between ${short(low)} and ${short(high)}`;
  });
  const measured = evals.length === 0 ? [] : [table(
    ["step", "epoch", "validation loss", "perplexity", ""],
    evals.map((e) => [
      String(e.step),
      short(e.epoch),
      short(e.val_loss),
      e.ppl === undefined ? "" : short(e.ppl),
      e.best ? "best so far" : "",
    ]),
  )];
  return ["## Curves", "```\n" + lines.join("\n") + "\n```", ...measured];
}

function layers({ layers }: RunRecord): string[] {
  if (layers.length === 0) return [];
  const { rows, columns, values } = gradientsByLayer(layers);
  return [
    "## Where it learns",
    table(
      ["layer", `gradient norm at step ${columns[0]}`, `at step ${columns.at(-1)}`, "in all"],
      rows.map((layer, r) => [
        layer,
        short(values[r]![0]!),
        short(values[r]!.at(-1)!),
        sparkline(values[r]!, 24),
      ]),
    ),
  ];
}

function answers(samples: readonly Sample[]): string[] {
  if (samples.length === 0) return [];
  const quote = (text: string) => text.split("\n").map((line) => `    ${line}`).join("\n");
  return [
    "## Answers",
    ...byQuestion(samples).slice(0, 20).map((all) => {
      const { prompt, output, expected, step } = all.at(-1)!;
      const right = expected === undefined
        ? ""
        : output.trim() === expected.trim()
        ? ", right"
        : ", not as expected";
      const wanted = right === ", not as expected" ? `\n\nexpected\n\n${quote(expected!)}` : "";
      return `asked\n\n${quote(prompt)}\n\nanswered${
        step === undefined ? "" : ` since step ${step}`
      }${right}\n\n${quote(output)}${wanted}`;
    }),
  ];
}
