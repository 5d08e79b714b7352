import { existsSync, realpathSync } from "node:fs";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { columns, excerpt, plural, progressBar, thousands } from "../base/text.ts";
import { Checker, type CheckReport, type Finding, Held, type Verdict } from "../data/check.ts";
import { checkFile } from "../data/check_file.ts";
import { jsonValues } from "../data/json_values.ts";
import type { AnyRow } from "../data/kinds.ts";
import type { Lengths } from "../data/lengths.ts";
import { byteStream, EMPTY_DATASET } from "../data/rows.ts";
import { parseAnswerSchema } from "../settings/answer_schema.ts";
import { dataCheckSettings } from "../settings/data.ts";
import { mapOf } from "../settings/model.ts";
import { encodeExample } from "../text/prompt.ts";
import { command } from "./command.ts";
import { type Io, readText } from "./io.ts";
import { systemText, textsOf } from "./texts.ts";

/** What can be done about each finding, in the order of the numbers. */
const FIXES: readonly (readonly [Finding, string])[] = [
  ["bad", "leave out the rows that cannot be used"],
  ["copies", "leave out rows that are copies of earlier ones"],
  ["near", "leave out rows nearly the same as earlier ones"],
  ["contradictions", "leave out rows whose question has another answer before"],
  ["leaked", "leave out rows that stand in the other file too"],
];

export const dataCheck = command({
  examples: [
    "whet data check rows.jsonl",
    "whet data check train.jsonl --schema schema.yaml --against val.jsonl",
    "whet data check rows.jsonl -m ./model --max-seq 2048",
    "whet data check rows.jsonl --fix              # proposes numbered fixes",
    "whet data check rows.jsonl --fix 1,3 -o clean.jsonl",
  ],
  details:
    "Names every row that could not be trained, with line and reason (20 are shown, all are " +
    "counted), and exits 3 where there are any. Then it reports what no error is: " +
    "copies, rows nearly the same (at least 0.8 of their runs of five characters in common, as 64 " +
    "MinHash values estimate it, give or take 0.05), questions that have two answers, rows that " +
    "stand in --against too, how answers are spread over labels and slots, and how long rows are.\n" +
    "Diversity is 1 less the mean similarity of a row to the row most like it, among 1,000 drawn " +
    "evenly: 0 where all rows are the same, 1 where none resembles another.\n" +
    "With a CLI schema each answer must be valid JSON, name a command and subcommand that exist, " +
    "have arguments of the right type, and have those that are required, or ask for them.\n" +
    "The file is read once, in a stream; memory does not grow with it. Copies are found among the " +
    "first 1.5 million rows, near copies among the first 131,072; the report says where that was not " +
    "all. From stdin (-) the rows pass through to stdout unchanged, for the next in a pipe, and " +
    "the report goes to stderr. A file is never changed in place.",
  section: "data_check",
  settings: dataCheckSettings,
  async run(settings, io) {
    const { file, fix, output } = settings;
    const options = await optionsOf(settings);
    const passing = file === "-" && !io.json;
    if (fix !== undefined && file === "-") {
      throw new Fail("--fix reads the rows twice, and stdin can be read once", {
        fix: "write the rows to a file first",
        exit: Exit.usage,
      });
    }
    const checker = new Checker(options);
    await checkFile(file, checker, passing ? { each: ({ text }) => io.data(text) } : {});
    const report = checker.report();
    const name = file === "-" ? "stdin" : file;
    if (report.rows === 0) {
      throw new Fail(EMPTY_DATASET, { why: `${name} holds no rows`, exit: Exit.data });
    }
    const offered = report.good === 0
      ? []
      : FIXES.filter(([finding]) => report.counts[finding] > 0);
    const say = passing ? (text: string) => io.note(text) : (text: string) => io.out(text);
    say(told(name, report, settings, io));
    if (fix !== undefined || (offered.length > 0 && file !== "-")) {
      say(
        offered.length === 0
          ? "\nNothing that a fix could do."
          : `\n${proposals(offered, report, file)}`,
      );
    }
    if (fix !== undefined && fix !== "list" && offered.length > 0) {
      const chosen = chosenOf(fix, offered, report);
      const target = output ?? file.replace(/(\.jsonl?)?$/, "_prepared.jsonl");
      const written = await apply(file, target, chosen, new Checker(options));
      io.result({ ...machine(file, report, offered), output: target, written });
      io.out(`\n${plural(written, "row")} in ${target}; ${file} is as it was.`);
      return;
    }
    io.result(machine(file, report, offered));
    if (report.counts.bad > 0) throw refusal(name, report, offered.length > 0 && file !== "-");
    const { fail_under } = settings;
    if (fail_under !== undefined && (report.diversity ?? 0) < fail_under) {
      throw new Fail(`the diversity is ${decimals(report.diversity ?? 0)}, wanted ${fail_under}`, {
        why: "many rows resemble each other",
        fix: "add rows that say other things in other words, or leave out near copies with --fix",
        exit: Exit.gate,
      });
    }
  },
});

interface Settings {
  readonly system?: string;
  readonly json_indent: number;
  readonly file: string;
  readonly model?: string;
  readonly template?: string;
  readonly max_seq?: number;
  readonly schema?: string;
  readonly against?: string;
  readonly map?: string;
}

async function optionsOf(settings: Settings) {
  const { model, template: given, schema, against } = settings;
  const rowOptions = {
    map: mapOf(settings.map),
    system: systemText(settings.system),
    jsonIndent: settings.json_indent,
  };
  const problems = schema === undefined
    ? undefined
    : parseAnswerSchema(readText(schema, "the schema"), schema).problems;
  let tokens: ((row: AnyRow) => number | { problem: string }) | undefined;
  if (model !== undefined) {
    const { tokenizer, template } = await textsOf(model, given);
    tokens = ({ example, content }) => {
      if (!example) return tokenizer.encode(content).length;
      if ("ids" in example) return example.ids.length;
      try {
        return encodeExample(tokenizer, example, { template }).ids.length;
      } catch (error) {
        if (!(error instanceof Fail)) throw error;
        return { problem: error.why ? `${error.message} (${error.why})` : error.message };
      }
    };
  }
  let held: Held | undefined;
  if (against !== undefined) {
    held = new Held();
    for await (const value of jsonValues(byteStream(against))) held.add(value, rowOptions);
  }
  return { ...rowOptions, problems, tokens, against: held };
}

/** The report for people. */
function told(name: string, report: CheckReport, settings: Settings, io: Io): string {
  const { rows, forms, counts, pairs, diversity, lengths, compared, mix } = report;
  const count = (n: number) => thousands(n);
  const where = (list: readonly { line: number; other: number }[], word: string) =>
    list.slice(0, 3).map(({ line, other }) => `line ${line} ${word} ${other}`).join(", ") +
    (list.length > 3 ? ", …" : "");
  const partly = (n?: number) => n === undefined ? "" : ` (among the first ${count(n)})`;
  const lines = [
    `${name}: ${plural(rows, "row")}: ${
      Object.entries(forms).map(([form, n]) => `${form} ${count(n)}`).join(", ") || "none readable"
    }`,
    "",
    columns([
      ["cannot be used", count(counts.bad), ""],
      ["copies", count(counts.copies), where(pairs.copies, "is line") + partly(compared.exact)],
      [
        "nearly the same",
        count(counts.near),
        where(pairs.near, "is much like line") + partly(compared.near),
      ],
      [
        "asked twice, answered differently",
        count(counts.contradictions),
        where(pairs.contradictions, "asks what line"),
      ],
      ...(settings.against === undefined
        ? []
        : [["also in the other file", count(counts.leaked), where(pairs.leaked, "is its line")]]),
      ...(diversity === undefined ? [] : [["diversity", decimals(diversity), "of 1"]]),
    ], [1]),
  ];
  if (mix.withContext + mix.without + mix.negative > 0) {
    const all = mix.withContext + mix.without + mix.negative;
    const share = (n: number) => `${((100 * n) / all).toFixed(0)} %`;
    lines.push(
      "",
      `with context ${share(mix.withContext)}, without ${share(mix.without)}, ` +
        `clarifications ${share(mix.negative)}; 60, 20 and 20 are usual`,
    );
  }
  if (report.balance.length > 0) lines.push("", balanceTold(report));
  if (lengths.count > 0) {
    lines.push("", histogram(lengths, settings.model ? "tokens" : "characters", io.ascii));
    const { max_seq } = settings;
    if (settings.model && max_seq !== undefined) {
      lines.push(`${plural(lengths.over(max_seq), "row")} longer than ${count(max_seq)} tokens`);
    }
  }
  return lines.join("\n");
}

/** Bars of how many rows have which length. */
export function histogram(lengths: Lengths, unit: string, ascii: boolean): string {
  const bins = lengths.bins();
  const most = Math.max(...bins.map(({ count }) => count));
  return [
    `${unit} a row: median ${thousands(lengths.quantile(0.5))}, 95 % within ${
      thousands(lengths.quantile(0.95))
    }, longest ${thousands(lengths.longest)}`,
    columns(
      bins.map(({ to, count }) => [
        `  to ${thousands(to)}`,
        thousands(count),
        count === 0
          ? ""
          : progressBar(Math.max(count / most, 1 / 32), 32, ascii).replace(/[░-]+$/, ""),
      ]),
      [0, 1],
    ),
  ].join("\n");
}

function balanceTold({ balance, good }: CheckReport): string {
  const share = (n: number, of: number) => `${((100 * n) / of).toFixed(0)} %`;
  const rows = balance.slice(0, 16).map(({ field, rows, values }) => [
    `  ${field}`,
    share(rows, good),
    values
      ? values.slice(0, 4).map(([v, n]) => `${excerpt(v, 24) || '""'} ${share(n, rows)}`).join(
        ", ",
      ) +
        (values.length > 4
          ? `, … ${values.length} values, least ${excerpt(values.at(-1)![0], 24)} ${
            thousands(values.at(-1)![1])
          }`
          : "")
      : "many values",
  ]);
  return ["fields of answers, the rows that have them, and their values", columns(rows, [1])]
    .join("\n");
}

function proposals(offered: typeof FIXES, { counts }: CheckReport, file: string): string {
  const shown = file.includes(" ") ? `'${file}'` : file;
  return [
    "Fixes",
    ...offered.map(([finding, text], i) => `  ${i + 1}  ${text} (${thousands(counts[finding])})`),
    `to apply some: whet data check ${shown} --fix ${offered.map((_, i) => i + 1).join(",")}`,
  ].join("\n");
}

function machine(file: string, report: CheckReport, offered: typeof FIXES) {
  const { lengths, ...rest } = report;
  return {
    file,
    ...rest,
    lengths: {
      median: lengths.quantile(0.5),
      p95: lengths.quantile(0.95),
      longest: lengths.longest,
      bins: lengths.bins(),
    },
    fixes: offered.map(([finding, text], i) => ({
      number: i + 1,
      finding,
      text,
      rows: report.counts[finding],
    })),
  };
}

function refusal(name: string, { bad, counts, rows }: CheckReport, fixable: boolean): Fail {
  const lines = bad.map(({ line, id, reason, text }) =>
    `line ${line}${id === undefined ? "" : `, id ${id}`}: ${reason}: ${excerpt(text, 60)}`
  );
  if (counts.bad > bad.length) lines.push(`and ${thousands(counts.bad - bad.length)} more`);
  return new Fail(`${counts.bad} of ${rows} rows of ${name} cannot be used`, {
    why: lines.join("\n"),
    fix: fixable ? `whet data check ${name} --fix 1 leaves them out` : "correct the rows",
    code: "WH0304",
    exit: Exit.data,
  });
}

/** The findings whose rows are left out. @throws Fail (usage) for numbers that were not offered */
function chosenOf(fix: string, offered: typeof FIXES, { counts }: CheckReport): Set<Finding> {
  const numbers = fix.split(",").map(Number);
  const unknown = numbers.find((n) => n < 1 || n > offered.length);
  if (unknown !== undefined) {
    throw new Fail(`there is no fix ${unknown}`, {
      why: `the fixes are 1 to ${offered.length}`,
      fix: "--fix without numbers lists them",
      exit: Exit.usage,
    });
  }
  const chosen = new Set(numbers.map((n) => offered[n - 1]![0]));
  if (counts.bad > 0 && !chosen.has("bad")) {
    throw new Fail("rows that cannot be used would be written again", {
      why: `${plural(counts.bad, "row")} cannot be used, and fix 1 was not asked for`,
      fix: `--fix 1,${fix}`,
      exit: Exit.usage,
    });
  }
  return chosen;
}

/** Writes the rows that are left. @returns how many */
async function apply(
  file: string,
  target: string,
  chosen: ReadonlySet<Finding>,
  checker: Checker,
): Promise<number> {
  if (existsSync(target) && realpathSync(target) === realpathSync(file)) {
    throw new Fail("a file is never changed in place", {
      why: `${target} is the file that is read`,
      fix: "name another one with -o",
      exit: Exit.usage,
    });
  }
  let written = 0;
  const left = async function* () {
    for await (const value of jsonValues(byteStream(file))) {
      if (isFound(checker.row(value), chosen)) continue;
      written++;
      // An element of an array may stand on several lines.
      yield (value.text.includes("\n") ? JSON.stringify(value.value) : value.text) + "\n";
    }
  };
  await writeFile(target, left());
  return written;
}

function isFound(
  { bad, copyOf, nearTo, contradicts, leaked }: Verdict,
  chosen: ReadonlySet<Finding>,
) {
  return bad !== undefined && chosen.has("bad") ||
    copyOf !== undefined && chosen.has("copies") ||
    nearTo !== undefined && chosen.has("near") ||
    contradicts !== undefined && chosen.has("contradictions") ||
    leaked !== undefined && chosen.has("leaked");
}

const decimals = (n: number) => n.toFixed(2);
