import { existsSync, readFileSync, rmSync } from "node:fs";
import { putAside } from "../../base/folder.ts";
import { sha256 } from "../../base/sha256.ts";
import { humanBytes, plural, thousands } from "../../base/text.ts";
import type { Manifest } from "../../report/record.ts";
import { findSchema } from "../schemas.ts";
import { call, given, layers } from "./call.ts";
import { hash, needed, type Pipeline, type Stage } from "./stage.ts";
import { dpo, finishedRun, HELD, kept, sft, sftRun, trainedModel, weightsOf } from "./training.ts";

function lines(path: string): string {
  if (!existsSync(path)) return "";
  const text = readFileSync(path);
  let n = 0;
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) n++;
  return plural(n, "row");
}

const generate: Stage = {
  name: "generate",
  place: ({ places }) => places.train,
  over: ({ places }) => [places.train, places.val],
  inputs: async (p) => ({
    schema: sha256(findSchema(p.name).schema.text),
    num: String(p.asked.num),
    teacher: p.asked.teacher,
  }),
  output: async ({ places }) =>
    existsSync(places.train) && !existsSync(progressOf(places.train))
      ? await hash(places.train)
      : undefined,
  told: ({ places }) => lines(places.train),
  async run(p, again, io) {
    const { num, teacher } = p.asked;
    const own = { schema: p.places.schema, num, teacher, output: p.places.train, force: again };
    const value = await call("data generate", p, io, () => [given(own, "pipeline")]);
    const { rows, journal } = value as { rows?: number; journal?: string };
    if (journal) return { result: `${thousands(rows ?? 0)} of ${num} rows`, unfinished: true };
    const { train_rows = 0, val_rows = 0 } = value as { train_rows?: number; val_rows?: number };
    return { result: `${plural(train_rows, "row")}, ${thousands(val_rows)} kept back`, value };
  },
};

const progressOf = (path: string) => path.replace(/\.jsonl$/, "_progress.jsonl");

interface Preferred {
  readonly complete: boolean;
  readonly pairs: number;
  readonly asked: number;
  readonly identical: number;
}

/** The command calls it an error; a pipeline goes on without DPO. */
const nothingDiffers = ({ complete, pairs, identical }: Preferred) =>
  complete && pairs === 0 && identical > 0;

const preferences: Stage = {
  name: "preferences",
  place: ({ places }) => places.preferences,
  over: ({ places }) => [places.preferences],
  inputs: async (p) => ({
    "sft weights": weightsOf(sftRun(p)),
    rows: await needed(p.places.train, p, "generate"),
    pairs: String(p.asked.pairs),
  }),
  output: async ({ places }) =>
    existsSync(places.preferences) && !existsSync(progressOf(places.preferences))
      ? await hash(places.preferences)
      : undefined,
  told: ({ places }) => lines(places.preferences).replace("row", "pair"),
  async run(p, again, io) {
    const run = sftRun(p);
    const own = {
      ...trainedModel(p, run),
      ...kept(run, HELD),
      prompts: p.places.train,
      schema: p.places.schema,
      num: p.asked.pairs,
      output: p.places.preferences,
      force: again,
    };
    const value = await call(
      "data preferences",
      p,
      io,
      () => [given(own, "pipeline")],
      (result) => Boolean(result) && nothingDiffers(result as Preferred),
    ) as Preferred;
    if (!value.complete) return { result: plural(value.pairs, "pair"), unfinished: true };
    const asked = `${thousands(value.identical)} of ${thousands(value.asked)} answers are ideal`;
    if (value.pairs > 0) return { result: `${plural(value.pairs, "pair")}; ${asked}`, value };
    // Those of an SFT model before it, and what was trained on them, must not be shipped.
    rmSync(p.places.preferences, { force: true });
    if (existsSync(p.places.dpo)) io.note(`${p.places.dpo} is now ${putAside(p.places.dpo)}`);
    return { result: `no pairs: ${asked}`, empty: true, value };
  },
};

/** The run whose weights are shipped: that of DPO where there is one. */
function lastRun(p: Pipeline): { dir: string; run: Manifest } {
  const better = finishedRun(p.places.dpo);
  return better ? { dir: p.places.dpo, run: better } : { dir: p.places.sft, run: sftRun(p) };
}

const quantize: Stage = {
  name: "quantize",
  place: ({ places }) => places.gguf,
  over: ({ places }) => [places.gguf],
  async inputs(p) {
    const { dir, run } = lastRun(p);
    return { from: dir, weights: weightsOf(run), quant: p.asked.quant };
  },
  output: async ({ places }) => existsSync(places.gguf) ? await hash(places.gguf) : undefined,
  told: ({ places }) => humanBytes(Bun.file(places.gguf).size),
  async run(p, _again, io) {
    const { dir, run } = lastRun(p);
    const { model, adapter } = trainedModel(p, run);
    const own = {
      source: dir,
      ...(adapter ? { base: model } : {}),
      output: p.places.gguf,
      gguf: true,
      force: true, // what was not from this pipeline is copied first
      quant: p.asked.quant,
    };
    const value = await call(
      "export",
      p,
      io,
      (schema) =>
        layers(p, "export", schema, given(own, "pipeline"), [
          [],
          given({ verify: "tensors" }, "pipeline"),
        ]),
    ) as { bytes: number };
    const from = dir === p.places.dpo ? "dpo" : "sft";
    return { result: `${humanBytes(value.bytes)}, from ${from}`, value };
  },
};

const evaluate: Stage = {
  name: "eval",
  place: ({ places }) => places.eval,
  inputs: async (p) => ({
    model: await needed(p.places.gguf, p, "quantize"),
    rows: await needed(p.places.val, p, "generate"),
  }),
  output: async ({ places }) => existsSync(places.eval) ? await hash(places.eval) : undefined,
  told: ({ places }) => toldMeasures(JSON.parse(readFileSync(places.eval, "utf8"))),
  idle: ({ places: { train, val } }) =>
    existsSync(train) && !existsSync(val)
      ? `there are rows, but no ${val} to measure on`
      : undefined,
  async run(p, _again, io) {
    const own = {
      model: p.places.gguf,
      data: p.places.val,
      schema: p.places.schema,
      output: p.places.eval,
      failures: p.places.failures,
    };
    const value = await call(
      "eval",
      p,
      io,
      (schema) => layers(p, "eval", schema, given(own, "pipeline"), []),
    );
    return { result: toldMeasures(value), value };
  },
};

function toldMeasures(value: unknown): string {
  const { n, exact_match, json_valid } = value as Readonly<Record<string, number>>;
  const percent = (share: number | undefined) => `${(100 * (share ?? 0)).toFixed(1)} %`;
  return `${thousands(n ?? 0)} rows: exact match ${percent(exact_match)}, ` +
    `valid JSON ${percent(json_valid)}`;
}

/** In their order. */
export const stages: readonly Stage[] = [generate, sft, preferences, dpo, quantize, evaluate];
