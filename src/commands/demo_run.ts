import { existsSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { asset, assetFolder } from "../base/assets.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { excerpt, humanBytes, humanSeconds, plural } from "../base/text.ts";
import type { Judged } from "../evaluate/judge.ts";
import type { Measures } from "../evaluate/measures.ts";
import type { Device } from "../gpu/device.ts";
import type { Metrics } from "../report/record.ts";
import { answerProblems, parseCliSchema } from "../settings/cli_schema.ts";
import type { CommonSettings } from "../settings/common.ts";
import type { demoSettings } from "../settings/demo.ts";
import { resolve } from "../settings/load.ts";
import { trainSettings } from "../settings/train.ts";
import { type TaughtRow, teach } from "../teachers/template.ts";
import { table } from "./eval_table.ts";
import { measure, PLAIN } from "./evaluation.ts";
import { exportTrained, trainedOf } from "./exporting.ts";
import { openDevice } from "./gpu.ts";
import type { Io } from "./io.ts";
import { load, openBoth } from "./loaded.ts";
import { prepareRun, readRows } from "./prepared.ts";
import { textsOf } from "./texts.ts";
import { train } from "./training.ts";

type Settings = z.output<typeof demoSettings> & CommonSettings;

const SCHEMA = "schemas/garden.yaml";
const MODEL = "models/micro";
/** Longest row and answer of the schema, tokens; the micro model was made with 256. */
const CONTEXT = 256;
const ANSWER = 112;
const VALIDATION = 60;
/** Answers compared between the adapter and the GGUF file. */
const COMPARED = 16;

/**
 * The whole life of an adapter on the built-in model: rows from a schema, measuring, training, measuring
 * again, export, reading the export back.
 * @throws Fail (gate) where the file that was exported does not answer like the adapter
 */
export async function runDemo(settings: Settings, io: Io): Promise<void> {
  const out = free(settings.output);
  const began = performance.now();
  const model = assetFolder(MODEL);
  const schemaText = new TextDecoder().decode(asset(SCHEMA));
  const schema = parseCliSchema(schemaText, SCHEMA);
  const say = (title: string) => io.note(io.paint("bold", `\n${title}`));

  say("1  Rows");
  const files = await writeRows(settings, out, schemaText);
  io.note(
    `${plural(settings.rows, "training row")} and ${
      plural(settings.tests, "test row")
    } written from ` +
      `the schema of "${schema.name}", a command line for gardeners that the model has never seen. ` +
      "No test phrasing occurs in training.",
  );
  const sample = files.sample;
  io.note(
    `  asked    ${excerpt(sample.instruction, 80)}\n  answer   ${excerpt(sample.output, 100)}`,
  );

  const texts = await textsOf(model);
  const opened = await openBoth({ model });
  const reading = {
    max_seq: CONTEXT,
    overlong: "error",
    json_indent: 0,
    skip_bad: false,
    batch: 1,
    accum: 1,
  } as const;
  const tests = await readRows(
    files.test,
    reading,
    { vocab: opened.model.sizes.vocab, context: CONTEXT, ...texts },
    io,
  );
  const sampling = { temp: 0, top_p: 1, max_tokens: ANSWER, seed: 0 };
  const device = await openDevice(settings, 1e6, io);
  try {
    const measured = async (adapter: string | undefined, of: string, rows = tests) => {
      const both = adapter === undefined
        ? of.endsWith(".gguf") ? await openBoth({ model: of }) : opened
        : await openBoth({ model, adapter });
      using loaded = await load(both, settings, io, device);
      const problems = (answer: unknown) => answerProblems(schema, answer);
      const result = await measure(
        loaded,
        loaded.adapted,
        texts,
        rows,
        sampling,
        { ...PLAIN, problems },
        (done, all) => io.progress(`${done} of ${all} answers`),
      );
      io.progress();
      return result;
    };

    say("2  Before");
    const before = await measured(undefined, model);
    io.note(first(before.judged));
    io.event("eval", { phase: "before", ...before.measures });

    say("3  Training");
    const run = join(out, schema.name);
    const result = await trained(settings, { model, run, ...files }, io, device);
    if (result.status === "stopped") {
      io.note(`stopped; what there is lies in ${out}`);
      return;
    }

    say("4  After");
    const after = await measured(run, model);
    io.note(first(after.judged, before.judged));
    io.event("eval", { phase: "after", ...after.measures });
    io.out(`\n${table(after.measures, before.measures)}`);

    say("5  Export");
    const gguf = join(out, `${schema.name}.gguf`);
    const exported = await exportTrained({
      source: run,
      base: model,
      out: gguf,
      form: "gguf",
      quant: "f16",
      verify: true,
      onProgress: ({ done, total }) => io.progress(`${Math.round((100 * done) / total)} %`),
    }, trainedOf(run));
    io.progress();
    for (const warning of exported.warnings) io.warn("WH0308", warning);
    const some = {
      examples: tests.examples.slice(0, COMPARED),
      rows: tests.rows.slice(0, COMPARED),
    };
    const again = await measured(undefined, gguf, { ...tests, ...some });
    const same = again.judged.filter(({ predicted }, i) =>
      predicted === after.judged[i]!.predicted
    ).length;
    if (same < again.judged.length * 0.9) {
      throw new Fail(
        `the exported file answers ${same} of ${again.judged.length} as the adapter does`,
        {
          why: "merging and rounding should change next to nothing",
          fix: "whet doctor --numerics",
          exit: Exit.gate,
        },
      );
    }
    io.note(
      `${humanBytes(exported.bytes)}, read back: every tensor as it should be, ` +
        `${same} of ${again.judged.length} answers the same as the adapter's`,
    );

    await result.folder.finish({ before: shares(before.measures), after: shares(after.measures) });
    const report = join(run, "report.html");
    const seconds = (performance.now() - began) / 1000;
    io.out(`
everything   ${out}
adapter      ${run}
GGUF         ${gguf}
report       ${report}
in all       ${humanSeconds(seconds)}, of which training ${humanSeconds(result.seconds)}`);
    io.note(
      `\nTry it:  whet infer -m ${gguf} --chat -p ${JSON.stringify(PROMPT)}\n` +
        `Yours:   whet train sft -m MODEL -d rows.jsonl -o my-run`,
    );
    io.result({
      exact_match_before: before.measures.exact_match,
      exact_match_after: after.measures.exact_match,
      json_valid_after: after.measures.json_valid,
      train_seconds: result.seconds,
      seconds,
      adapter: run,
      gguf,
      report,
    });
  } finally {
    device.close();
    opened[Symbol.dispose]();
  }
}

const PROMPT = "water the beans";

/** The folder, or with the first number that is free behind it. */
function free(out: string): string {
  if (!existsSync(out)) return out;
  let n = 2;
  while (existsSync(`${out}-${n}`)) n++;
  return `${out}-${n}`;
}

interface Files {
  readonly train: string;
  readonly val: string;
  readonly test: string;
  readonly sample: TaughtRow;
}

async function writeRows(settings: Settings, out: string, schemaText: string): Promise<Files> {
  const schema = parseCliSchema(schemaText, SCHEMA);
  const { seed, rows, tests } = settings;
  const path = (name: string) => join(out, "data", `${name}.jsonl`);
  const taught = teach(schema, { rows, seed, part: "train" });
  const held = teach(schema, { rows: 4 * (tests + VALIDATION), seed, part: "held_out" });
  const seen = new Set<string>();
  const distinct = held.filter(({ instruction, context }) => {
    const key = JSON.stringify([instruction, context]);
    return !seen.has(key) && seen.add(key);
  });
  const lines = (part: readonly TaughtRow[]) => part.map((row) => JSON.stringify(row) + "\n");
  await writeFile(join(out, "schema.yaml"), schemaText);
  await writeFile(path("train"), lines(taught));
  await writeFile(path("test"), lines(distinct.slice(0, tests)));
  await writeFile(path("val"), lines(distinct.slice(tests, tests + VALIDATION)));
  return { train: path("train"), val: path("val"), test: path("test"), sample: taught[0]! };
}

async function trained(
  settings: Settings,
  files: Files & { readonly model: string; readonly run: string },
  io: Io,
  device: Device,
) {
  const values = {
    model: files.model,
    data: files.train,
    val: files.val,
    output: files.run,
    target: "all-linear",
    dropout: 0,
    max_seq: CONTEXT,
    lr: settings.lr,
    rank: settings.rank,
    epochs: settings.epochs,
    batch: settings.batch,
    seed: settings.seed,
    keep: 1,
    log_every: 10,
  };
  const given = Object.entries(values).map(([key, value]) => ({ key, value, from: "demo" }));
  const { settings: full } = resolve(trainSettings, [given]);
  const prepared = await prepareRun(full, io);
  return await train({ ...settings, ...full, output: files.run }, prepared, io, device);
}

/** The first answer, and where it was wrong before, how it was. */
function first(answered: readonly Judged[], before?: readonly Judged[]): string {
  const i = before
    ? Math.max(0, answered.findIndex(({ right }, at) => right && !before[at]!.right))
    : 0;
  const { prompt, predicted, expected, right } = answered[i]!;
  const lines = [`  asked    ${excerpt(prompt, 90)}`];
  if (before) lines.push(`  before   ${excerpt(before[i]!.predicted, 90)}`);
  lines.push(`  ${before ? "after " : "answer"}   ${excerpt(predicted, 90)}`);
  if (!right) lines.push(`  wanted   ${excerpt(expected, 90)}`);
  return lines.join("\n");
}

/** The shares that a report shows before and after. */
function shares({ exact_match, json_valid, schema_valid, command }: Measures): Metrics {
  const all = {
    exact_match,
    json_valid,
    schema_valid,
    right_command: command?.command,
    right_arguments: command?.args,
  };
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]),
  );
}
