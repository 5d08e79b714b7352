import { Exit, Fail } from "../base/fail.ts";
import { humanSeconds, plural } from "../base/text.ts";
import type { Tried } from "../evaluate/adversarial.ts";
import { evalSettings } from "../settings/eval.ts";
import { THRESHOLDS } from "../settings/answers.ts";
import { command } from "./command.ts";
import { gate, limitOf } from "./eval_gate.ts";
import { percent, sliceTable, table } from "./eval_table.ts";
import { checkPrompt } from "./prompt_check.ts";

export const evaluate = command({
  section: "eval",
  examples: [
    "whet eval -m ./model -a ./run -d test.jsonl",
    "whet eval -m ./model -a ./run -d test.jsonl --baseline --schema schema.yaml --html page.html",
    "whet eval -m ./model -a ./run -d test.jsonl --fail-under exact=.9,json=.99",
    "whet eval -m ./model -a ./run -d test.jsonl --failures wrong.jsonl --adversarial adv.jsonl",
    "whet eval ab ./run ./other-run -d test.jsonl",
  ],
  details:
    "Asks the model every row and compares its answers with those of the rows: equal as JSON where " +
    "both are JSON, else as text. Slots are compared path by path, lists as sets. The perplexity is that " +
    "of the rows' own answers. Calibration is measured where answers state a confidence. --failures " +
    "writes what was answered wrongly, ready to be corrected and trained.",
  settings: evalSettings,
  async run(settings, io) {
    const limits = settings.fail_under.map(limitOf);
    const [
      { load, openBoth },
      { measure, schemaOf },
      { readRows },
      { textsOf },
      rowsOf,
      out,
      judged,
    ] = await Promise.all([
      import("./loaded.ts"),
      import("./evaluation.ts"),
      import("./prepared.ts"),
      import("./texts.ts"),
      import("./eval_rows.ts"),
      import("./eval_files.ts"),
      import("../evaluate/adversarial.ts"),
    ]);
    const schema = settings.schema === undefined ? undefined : schemaOf(settings.schema);
    const sections = settings.sections ?? [], thresholds = settings.thresholds ?? THRESHOLDS;
    const hard = settings.adversarial === undefined
      ? undefined
      : await rowsOf.adversarialRows(settings.adversarial);
    const texts = await textsOf(settings.model, settings.template);
    using opened = await openBoth(settings);
    const { vocab, context } = opened.model.sizes;
    const asked = await readRows(
      settings.data,
      { ...settings, overlong: "error", json_indent: 0, skip_bad: false, batch: 1, accum: 1 },
      { vocab, context, ...texts },
      io,
    );
    const { examples } = asked;
    if (schema) rowsOf.checkExpected(examples, schema, settings.schema!, sections, io);
    const slices = await rowsOf.slicesOf(settings.data, examples, settings.slice, sections);
    await rowsOf.warnOfTrained(settings.adapter, examples, settings.map, io);
    checkPrompt(settings.adapter, examples, texts, settings.strict_prompt, io);
    if (settings.baseline && !settings.adapter) {
      throw new Fail("--baseline compares an adapter with its base, and there is no adapter", {
        fix: "-a RUN, or leave --baseline out",
        exit: Exit.usage,
      });
    }
    using loaded = await load(opened, settings, io);
    const began = performance.now();
    const judging = { sections, thresholds, problems: schema?.problems };
    const measuring = { ...judging, only: settings.metrics };
    const run = async (adapted: typeof loaded.adapted, name: string) => {
      const progress = (done: number, of: number) =>
        io.progress(`${name}: ${done} of ${of} answers`);
      const result = await measure(
        loaded,
        adapted,
        texts,
        asked,
        settings,
        { ...measuring, slices },
        progress,
      );
      let tried: Tried[] | undefined;
      if (hard) {
        const trials = await measure(
          loaded,
          adapted,
          texts,
          { examples: rowsOf.inFormOf(hard, examples), rows: [] },
          settings,
          { ...judging, only: ["exact"] },
          (done, of) => io.progress(`${name}: ${done} of ${of} adversarial answers`),
        );
        const typed = result.judged.some(({ want }) =>
          typeof (want as { type?: unknown } | undefined)?.type === "string"
        );
        tried = judged.tryAll(
          hard.map((row, i) => ({ ...row, answer: trials.judged[i]! })),
          typed,
        );
      }
      io.progress();
      const adversarial = tried && judged.adversarialMeasures(tried);
      return {
        ...result,
        measures: { ...result.measures, ...(adversarial ? { adversarial } : {}) },
        tried,
      };
    };
    const before = settings.baseline ? await run({}, "base alone") : undefined;
    const after = await run(loaded.adapted, "model");
    const { compare, verdict } = await import("../evaluate/compare.ts");
    const compared = before && after.judged.length > 0
      ? compare(before.judged, after.judged, settings.seed)
      : undefined;
    const said = compared ? verdict(compared, ["the base", "the tuned model"]) : [];
    const answer = {
      ...after.measures,
      ...(before ? { baseline: before.measures } : {}),
      ...(compared ? { comparison: { ...compared, verdict: said } } : {}),
    };
    const { warnings } = await import("../evaluate/signs.ts");
    const signs = after.measures.signs ? warnings(after.measures.signs) : [];
    await out.writeAll(settings, {
      answer,
      before,
      after,
      examples,
      compared,
      said,
      signs,
      schema: schema?.name,
    }, io);
    io.result(answer);
    const slicesTable = sliceTable(after.measures);
    io.out(table(after.measures, before?.measures, compared));
    if (slicesTable) io.out(`\n${slicesTable}`);
    const { adversarial } = after.measures;
    if (adversarial) {
      const kinds = Object.entries(adversarial.kinds)
        .map(([kind, { n, passed }]) => `${kind} ${Math.round(passed * n)} of ${n}`);
      io.out(
        `\nadversarial: ${percent(adversarial.passed)} of ${
          plural(adversarial.n, "row")
        } passed: ` +
          kinds.join(", "),
      );
    }
    if (said.length > 0) io.out(`\n${said.join("\n")}`);
    for (const sign of signs) io.warn("WH0332", sign);
    io.detail(`measured in ${humanSeconds((performance.now() - began) / 1000)}`);
    gate(after.measures, limits);
  },
});
