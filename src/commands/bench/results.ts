import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, humanBytes, humanSeconds, short, thousands } from "../../base/text.ts";
import type { Capabilities } from "../../gpu/device.ts";
import type { DispatchCost } from "./dispatches.ts";
import type { GenerationResult } from "./generation.ts";
import type { Roofline } from "./roofline.ts";
import type { OpShare, TrainingResult } from "./training.ts";

/** One kernel in a result. Seconds a run; shares of what the roofline allows for it. */
export interface KernelResult {
  readonly group: string;
  readonly name: string;
  readonly shape: string;
  /** Samples. */
  readonly n: number;
  readonly median_s: number;
  readonly best_s: number;
  readonly deviation_s: number;
  readonly first_s: number;
  /** Processor seconds, on a software adapter. */
  readonly cpu_s?: number;
  /** At the median; absent where the op's arithmetic is not counted. */
  readonly flops_s?: number;
  readonly bytes_s: number;
  /** Shortest possible time over median, by f32 arithmetic and bandwidth, or with matrix units. */
  readonly share: number;
  readonly share_matrix?: number;
  readonly files: readonly string[];
}

/** What `whet bench --json` prints and --save writes. */
export interface BenchResult {
  readonly format: 1;
  readonly kind: "kernels" | "training" | "generation";
  readonly date: string;
  readonly whet: { readonly version: string; readonly commit: string };
  readonly command: readonly string[];
  readonly device: Capabilities;
  /** Processors, and how busy they were before it began: other work disturbs a software adapter. */
  readonly cpus: number;
  readonly load: number;
  readonly roofline: Roofline;
  readonly kernels?: readonly KernelResult[];
  readonly dispatch?: DispatchCost;
  readonly training?: TrainingResult;
  readonly generation?: GenerationResult;
  readonly compared?: Comparison;
}

const rate = (perSecond: number) => short(perSecond / 1e9);
const ms = (seconds: number) => short(seconds * 1000);
const percent = (share: number) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

/** "a CPU s" (GFLOP/s) is for software adapters, "of matrix units" for rooflines that have some. */
export const kernelHeads = [
  "kernel",
  "shape",
  "ms",
  "± %",
  "best ms",
  "GFLOP/s",
  "a CPU s",
  "GB/s",
  "of roofline",
  "of matrix units",
];

/** The cells of one kernel, in the order of `kernelHeads`. */
export function kernelRow(k: KernelResult): string[] {
  return [
    k.name,
    k.shape,
    ms(k.median_s),
    ((100 * k.deviation_s) / k.median_s).toFixed(0),
    ms(k.best_s),
    k.flops_s === undefined ? "" : rate(k.flops_s),
    k.flops_s === undefined || k.cpu_s === undefined
      ? ""
      : rate((k.flops_s * k.median_s) / k.cpu_s),
    rate(k.bytes_s),
    percent(k.share),
    k.share_matrix === undefined ? "" : percent(k.share_matrix),
  ];
}

const dispatchLine = ({ dispatches, host_us, done_us }: DispatchCost) =>
  `Replaying ${thousands(dispatches)} dispatches: ${short(host_us)} µs each on the host, ` +
  `${short(done_us)} µs until done`;

function roofLine({ name, flops, matrixFlops, bandwidth, source }: Roofline): string {
  const matrix = matrixFlops ? `, f16 matrices ${rate(matrixFlops)}` : "";
  return `${name}: f32 ${rate(flops)} GFLOP/s${matrix}, ${rate(bandwidth)} GB/s (${source})`;
}

function trainingRows(t: TrainingResult): [string, string][] {
  const { step_s: step } = t;
  return [
    [
      "model",
      `${t.model}, ${short(t.parameters / 1e6)} M parameters, ${
        short(t.trainable / 1e6)
      } M trained`,
    ],
    ["weights", `quantised: ${t.quant}`],
    ["a step", `${thousands(t.tokens_per_step)} tokens, ${rate(t.flops_per_step)} GFLOP`],
    [
      "time",
      `${short(step.median)} s at the median of ${step.n}, best ${short(step.best)}, ` +
      `deviation ${short(step.deviation)}; the first ${humanSeconds(t.first_step_s)}`,
    ],
    ["speed", `${short(t.tokens_s)} tokens/s, ${rate(t.flops_per_step / step.median)} GFLOP/s`],
    [
      "utilisation",
      `${percent(t.utilisation)} of the f32 peak` +
      (t.utilisation_matrix === undefined
        ? ""
        : `, ${percent(t.utilisation_matrix)} of the matrix units'`),
    ],
    [
      "memory",
      `${humanBytes(t.allocated_bytes)} allocated, ${humanBytes(t.planned_bytes)} planned; ` +
      `host peak ${humanBytes(t.host_peak_bytes)}`,
    ],
    ["blocks", `${t.blocks.recomputed} of ${t.blocks.all} computed again`],
  ];
}

const opRow = ({ op, uses, seconds, share, flops_s }: OpShare) => [
  op,
  String(uses),
  ms(seconds),
  percent(share),
  flops_s === undefined ? "" : rate(flops_s),
];
const opHeads = ["op", "uses", "ms", "share", "GFLOP/s"];
/** Ops shown to people; JSON has all. */
const TOP = 12;

function generationRows(g: GenerationResult): [string, string][] {
  return [
    ["model", g.model + (g.adapter === undefined ? "" : `, adapter ${g.adapter}`)],
    ["weights", `quantised: ${g.quant}`],
    ["asked", `${g.requests} x ${g.prompt_tokens} tokens, ${g.answer_tokens} answered`],
    ["prefill", `${short(g.prefill_tokens_s)} tokens/s`],
    ["decode", `${short(g.decode_tokens_s)} tokens/s`],
    ["first token", `${ms(g.first_token_s)} ms`],
    ["a token", `${ms(g.token_p50_s)} ms at the median, ${ms(g.token_p95_s)} at 95 %`],
    [
      "memory",
      `${humanBytes(g.allocated_bytes)} allocated; host peak ${humanBytes(g.host_peak_bytes)}`,
    ],
  ];
}

/** The result for a terminal; kernels apart, which are told as they come. */
export function told(result: BenchResult): string {
  const { dispatch, training, generation } = result;
  const parts = [`Roofline  ${roofLine(result.roofline)}`];
  if (dispatch) parts.push(dispatchLine(dispatch));
  if (training) {
    parts.push(columns(trainingRows(training)));
    if (training.ops) {
      const rows = training.ops.slice(0, TOP).map(opRow);
      parts.push(`Time by op, one run\n${columns([opHeads, ...rows], [1, 2, 3, 4])}`);
    }
  }
  if (generation) parts.push(columns(generationRows(generation)));
  if (result.compared) parts.push(comparisonText(result.compared));
  return parts.join("\n\n");
}

const line = (cells: readonly string[]) =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
const table = (heads: readonly string[], rows: readonly (readonly string[])[]) =>
  [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");

/** The result as a page of Markdown. */
export function markdown(result: BenchResult): string {
  const { device, kernels, dispatch, training, generation, compared } = result;
  const parts = [
    `# ${device.adapter}, ${result.kind}, ${result.date.slice(0, 10)}`,
    [
      `- driver: ${device.driver} (${device.backend})`,
      `- whet ${result.whet.version} (${result.whet.commit}), ${result.date}`,
      `- ${result.cpus} processors, load ${result.load.toFixed(2)} before it began`,
      `- roofline: ${roofLine(result.roofline)}`,
      `- \`${result.command.join(" ")}\``,
    ].join("\n"),
  ];
  if (kernels) parts.push(table(kernelHeads, kernels.map(kernelRow)));
  if (dispatch) parts.push(dispatchLine(dispatch));
  if (training) {
    parts.push(table(["", ""], trainingRows(training)));
    if (training.ops) parts.push(table(opHeads, training.ops.map(opRow)));
  }
  if (generation) parts.push(table(["", ""], generationRows(generation)));
  if (compared) parts.push(`\`\`\`\n${comparisonText(compared)}\n\`\`\``);
  return parts.join("\n\n") + "\n";
}

/** "llvmpipe (LLVM 15.0.6, 256 bits)" and its driver -> "llvmpipe-25.0.7": what a file may be called. */
export function deviceSlug({ adapter, driver }: Pick<Capabilities, "adapter" | "driver">): string {
  const name = adapter.replaceAll(/\([^)]*\)/g, " ").trim().toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-+|-+$/g, "");
  const version = /\d+(\.\d+)+/.exec(driver)?.[0] ?? "unknown";
  return `${name || "adapter"}-${version}`;
}

/**
 * Writes a result as .md and .json; one of the same device, day and kind is replaced.
 * @returns their common path without the ending
 * @throws Fail (disk)
 */
export async function saveResult(folder: string, result: BenchResult): Promise<string> {
  const { kind, date, device } = result;
  const measured = result.training?.model ?? result.generation?.model;
  const name = [
    deviceSlug(device),
    date.slice(0, 10),
    kind,
    ...measured === undefined ? [] : [measured.replace(/\/+$/, "").split("/").at(-1)!],
  ].join("-");
  const path = join(folder, name);
  await writeFile(`${path}.json`, JSON.stringify(result, null, 1) + "\n");
  await writeFile(`${path}.md`, markdown(result));
  return path;
}

/** How many times as fast each thing is as in an earlier result. */
export interface Comparison {
  readonly file: string;
  readonly date: string;
  readonly adapter: string;
  readonly ratios: readonly { readonly name: string; readonly ratio: number }[];
}

const positive = z.number().positive();
/** What a comparison needs of a saved result. */
const saved = z.object({
  format: z.literal(1),
  date: z.string(),
  device: z.object({ adapter: z.string() }),
  kernels: z.array(z.object({ name: z.string(), shape: z.string(), median_s: positive }))
    .optional(),
  training: z.object({ tokens_s: positive }).optional(),
  generation: z.object({ prefill_tokens_s: positive, decode_tokens_s: positive }).optional(),
});
export type Saved = z.output<typeof saved> & { readonly file: string };

/** @throws Fail (data) where the file is no saved result */
export function readResult(file: string): Saved {
  const wrong = (why: string) =>
    new Fail(`${file} is not a result of whet bench`, {
      why,
      fix: "name the .json file that whet bench --save wrote",
      exit: Exit.data,
    });
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error));
  }
  const read = saved.safeParse(json);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw wrong(`${issue!.path.join(".") || "the file"}: ${issue!.message}`);
  }
  return { ...read.data, file };
}

/** What both results have, each with the speed now over the speed then. */
export function compare(now: BenchResult, then: Saved): Comparison {
  const ratios: { name: string; ratio: number }[] = [];
  const before = new Map(then.kernels?.map((k) => [`${k.name}  ${k.shape}`, k.median_s]));
  for (const { name, shape, median_s } of now.kernels ?? []) {
    const old = before.get(`${name}  ${shape}`);
    if (old !== undefined) ratios.push({ name: `${name}  ${shape}`, ratio: old / median_s });
  }
  const speed = (name: string, a: number | undefined, b: number | undefined) => {
    if (a !== undefined && b !== undefined) ratios.push({ name, ratio: a / b });
  };
  speed("training tokens/s", now.training?.tokens_s, then.training?.tokens_s);
  const [g, h] = [now.generation, then.generation];
  speed("prefill tokens/s", g?.prefill_tokens_s, h?.prefill_tokens_s);
  speed("decode tokens/s", g?.decode_tokens_s, h?.decode_tokens_s);
  return { file: then.file, date: then.date, adapter: then.device.adapter, ratios };
}

function comparisonText({ file, date, adapter, ratios }: Comparison): string {
  const head = `Speed now over that of ${file} (${adapter}, ${date.slice(0, 10)})`;
  if (ratios.length === 0) return `${head}\nnothing in common`;
  return `${head}\n${columns(ratios.map(({ name, ratio }) => [name, ratio.toFixed(2)]), [1])}`;
}
