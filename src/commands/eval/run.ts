import { Exit, Fail } from "../../base/fail.ts";
import { columns, humanSeconds } from "../../base/text.ts";
import type { AdversarialRow } from "../../data/adversarial.ts";
import {
  type AdversarialMeasures,
  adversarialMeasures,
  tryAll,
} from "../../evaluate/adversarial.ts";
import { compare, verdict } from "../../evaluate/compare.ts";
import { warnings } from "../../evaluate/signs.ts";
import { isObject } from "../../base/strict_json.ts";
import { THRESHOLDS } from "../../settings/answers.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { EvalSettings } from "../../settings/eval.ts";
import { grammarOf, requireSchema, schemaOf } from "../use/constrained.ts";
import { evalEmbedding, isTriplets } from "./embed.ts";
import { writeAll } from "./files.ts";
import type { Measured } from "./outcome.ts";
import { gate, limitOf } from "./gate.ts";
import { adversarialRows, checkExpected, inFormOf, slicesOf, warnOfTrained } from "./rows.ts";
import { percent, sliceTable, table } from "./table.ts";
import { type Asked, measure, type Measuring } from "./evaluation.ts";
import type { Io } from "../io.ts";
import { load, type Loaded, openBoth } from "../use/loaded.ts";
import { readRows } from "../train/prepared.ts";
import { checkPrompt } from "../use/prompt_check.ts";
import { type Texts, textsOf } from "../use/texts.ts";

type Settings = EvalSettings & CommonSettings;

/** Measures a model, writes what was asked for, and tells. @throws Fail (gate) below --fail-under */
export async function runEval(settings: Settings, io: Io): Promise<void> {
  const { adapter, data } = settings;
  const limits = settings.fail_under.map(limitOf);
  requireSchema(settings);
  if (settings.baseline && adapter === undefined) {
    throw new Fail("--baseline compares an adapter with its base, and there is no adapter", {
      fix: "-a RUN, or leave --baseline out",
      exit: Exit.usage,
    });
  }
  if (await isTriplets(data)) return await evalEmbedding(settings, limits, io);
  const schema = settings.schema === undefined ? undefined : schemaOf(settings.schema);
  const sections = settings.sections ?? [], thresholds = settings.thresholds ?? THRESHOLDS;
  const hard = settings.adversarial === undefined
    ? []
    : await adversarialRows(settings.adversarial);
  const texts = await textsOf(settings.model, settings.template);
  using opened = await openBoth(settings);
  const { vocab, context } = opened.model.sizes;
  const asked = await readRows(
    data,
    { ...settings, overlong: "error", skip_bad: false, batch: 1, accum: 1 },
    { vocab, context, ...texts },
    io,
  );
  const { examples } = asked;
  if (schema) checkExpected(examples, schema, settings.schema!, sections, io);
  const slices = await slicesOf(data, examples, settings.slice, sections);
  await warnOfTrained(adapter, examples, settings, io);
  checkPrompt(settings, examples, texts, settings.strict_prompt, io);
  using loaded = await load(opened, settings, io);
  const began = performance.now();
  const only = settings.metrics;
  const grammar = schema && settings.constrain
    ? grammarOf(schema, sections, texts.tokenizer, vocab)
    : undefined;
  const problems = schema?.problems;
  const how: Measuring = { sections, thresholds, problems, only, slices, grammar };
  const run = (adapted: Loaded["adapted"], name: string) =>
    measured({ loaded, adapted, texts, asked, hard, how, name }, settings, io);
  const before = settings.baseline ? await run({}, "base alone") : undefined;
  const after = await run(loaded.adapted, "model");
  const compared = before && after.judged.length > 0
    ? compare(before.judged, after.judged, settings.seed)
    : undefined;
  const said = compared ? verdict(compared, ["the base", "the tuned model"]) : [];
  const signs = after.measures.signs ? warnings(after.measures.signs) : [];
  const answer = {
    ...after.measures,
    ...(before ? { baseline: before.measures } : {}),
    ...(compared ? { comparison: { ...compared, verdict: said } } : {}),
  };
  await writeAll(settings, { answer, before, after, examples, compared, said, signs }, io);
  io.result(answer);
  const parts = [
    table(after.measures, before?.measures, compared),
    sliceTable(after.measures),
    after.measures.adversarial ? adversarialTold(after.measures.adversarial) : "",
    said.join("\n"),
  ];
  io.out(parts.filter(Boolean).join("\n\n"));
  for (const sign of signs) io.warn("WH0332", sign);
  io.detail(`measured in ${humanSeconds((performance.now() - began) / 1000)}`);
  gate(after.measures, limits);
}

/** One model's answers to the rows, and to the adversarial ones. */
async function measured(
  { loaded, adapted, texts, asked, hard, how, name }: {
    readonly loaded: Loaded;
    readonly adapted: Loaded["adapted"];
    readonly texts: Texts;
    readonly asked: Asked;
    readonly hard: readonly AdversarialRow[];
    readonly how: Measuring;
    readonly name: string;
  },
  settings: Settings,
  io: Io,
): Promise<Measured> {
  const ask = async (asked: Asked, how: Measuring, what: string) => {
    const result = await measure(
      loaded,
      adapted,
      texts,
      asked,
      settings,
      how,
      (done, of) => io.progress(`${name}: ${done} of ${of} ${what}`),
    );
    io.progress();
    return result;
  };
  const result = await ask(asked, how, "answers");
  if (hard.length === 0) return result;
  const rows = { examples: inFormOf(hard, asked.examples), rows: [] };
  const { judged } = await ask(
    rows,
    { ...how, only: ["exact"], slices: undefined },
    "adversarial answers",
  );
  const typed = result.judged.some(({ want }) => isObject(want) && typeof want.type === "string");
  const tried = tryAll(hard.map((row, i) => ({ ...row, answer: judged[i]! })), typed);
  return {
    ...result,
    measures: { ...result.measures, adversarial: adversarialMeasures(tried) },
    tried,
  };
}

function adversarialTold({ n, passed, kinds }: AdversarialMeasures): string {
  return columns([
    ["adversarial", "rows", "passed"],
    ["  all", String(n), percent(passed)],
    ...Object.entries(kinds).sort(([, a], [, b]) => a.passed - b.passed)
      .map(([kind, { n, passed }]) => [`  ${kind}`, String(n), percent(passed)]),
  ], [1, 2]);
}
