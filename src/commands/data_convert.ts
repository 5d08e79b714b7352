import { existsSync, realpathSync } from "node:fs";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { plural, suggest } from "../base/text.ts";
import { convertRow, detect, type FieldMap, MAP_NAMES, mappedForm } from "../data/convert.ts";
import type { Value } from "../data/json_values.ts";
import { type BadRow, badRows, EMPTY_DATASET } from "../data/rows.ts";
import { valuesOf } from "../data/sources.ts";
import { dataConvertSettings } from "../settings/data.ts";
import { command } from "./command.ts";
import { readText } from "./io.ts";
import { textsOf } from "./texts.ts";

/** Rows that the form is found out from. */
const SAMPLE = 100;

export const dataConvert = command({
  examples: [
    "whet data convert raw_data.json --to messages --system prompt.txt -o rows.jsonl",
    "whet data convert sheet.csv --to prompt --map prompt=question,response=answer -o rows.jsonl",
    "whet data convert rows.parquet --to messages -o rows.jsonl",
    "cat raw.json | whet data convert - --to messages | whet data check - > rows.jsonl",
  ],
  details: 'Reads {"messages"}, ShareGPT ({"conversations"}), {"prompt","completion"}, ' +
    '{"instruction","input","output"} (Alpaca), {"instruction","context","output"}, ' +
    '{"query","data"}, {"gtm_prompt","reasoning","intent_ir"}, {"prompt","chosen","rejected"}, ' +
    '{"anchor","positive","negative"} and {"text"} with Alpaca headings, from JSONL, a JSON array, ' +
    "CSV (RFC 4180 with a header), TSV or Parquet. The form is found out from the first 100 rows, " +
    "and said with the share of them that have it; --from and --map settle it.\n" +
    "messages: chat messages. prompt: prompt and completion. alpaca: instruction, input and output. " +
    "text: one text with the headings ### Instruction:, ### Input: and ### Response:. cot: prompt and " +
    "completion in the form [INST] SYSTEM, User request: … [/INST], the answer in <reasoning> and " +
    "<intent_ir> where the row has a reasoning; the tokenizer's own begin and end tokens are added " +
    "when the rows are trained. dpo: prompt, chosen and rejected; pairs of equal answers are passed " +
    "over. triplets: anchor, positive and negative.\n" +
    "--system puts one system prompt before every row, in place of their own. Any row that cannot be " +
    "converted stops the command, with its line, before anything is written.",
  section: "data_convert",
  settings: dataConvertSettings,
  async run({ input, to, from, map: mapText, system: given, model, json_indent, output }, io) {
    const name = input === "-" ? "stdin" : input;
    const map = mapText === undefined ? undefined : mapFrom(mapText);
    const system = given === undefined ? undefined : systemOf(given);
    const eos = model === undefined ? undefined : await endOf(model);
    if (output !== undefined && existsSync(output) && existsSync(input)) refuseSame(input, output);
    const { container, values } = await valuesOf(input);
    const { sample, all } = await peek(values);
    if (sample.length === 0) {
      throw new Fail(EMPTY_DATASET, { why: `${name} holds no rows`, exit: Exit.data });
    }
    const chosen = from !== "auto" ? from : map && mappedForm(map);
    const found = chosen ? undefined : detect(sample);
    const form = chosen ?? found?.form;
    if (form === undefined) throw unknownForm(name, sample, map);
    const share = found ? `, ${Math.round(100 * found.share)} % of the first ${sample.length}` : "";
    io.note(
      `${name}: ${container === "json" ? "" : `${container}, `}rows of the form ${form}${share}`,
    );

    const bad: BadRow[] = [];
    const own = new Map<string, number>();
    let [index, identical, rows] = [0, 0, 0];
    const converted = async function* () {
      for await (const value of all) {
        const made = convertRow(value, index++, {
          to,
          from: form,
          map,
          system,
          jsonIndent: json_indent,
          eos,
        });
        if ("problem" in made) {
          bad.push({ line: value.line, reason: made.problem, text: value.text.slice(0, 400) });
        } else if ("identical" in made) {
          if (identical++ < 20) io.warn("WH0311", `Skipping identical pair on line ${value.line}`);
        } else {
          if (made.system !== undefined && own.size < 1000) {
            own.set(made.system, (own.get(made.system) ?? 0) + 1);
          }
          rows++;
          if (bad.length === 0) yield JSON.stringify(made.row) + "\n";
        }
      }
      if (bad.length > 0) {
        throw badRows(name, bad, index, "correct the rows; --from and --map say how they are read");
      }
      if (rows === 0) {
        throw new Fail(EMPTY_DATASET, {
          why: `none of the ${plural(index, "row")} of ${name} is left`,
          exit: Exit.data,
        });
      }
    };
    if (output === undefined) {
      // Nothing is printed before every row is known to be good.
      for (const line of await Array.fromAsync(converted())) {
        if (io.closed) break;
        io.data(line.slice(0, -1));
      }
    } else await writeFile(output, converted());
    warnOfSystems(own, system, io.warn.bind(io));
    const facts = { form, confidence: found?.share ?? 1, rows, identical, to };
    if (output !== undefined) io.result({ ...facts, output });
    io.note(`${plural(rows, "row")} of ${to}${output === undefined ? "" : ` in ${output}`}`);
  },
});

/** The first values, and all of them. */
async function peek(values: AsyncIterable<Value>) {
  const sample: Value[] = [];
  const iterator = values[Symbol.asyncIterator]();
  while (sample.length < SAMPLE) {
    const { value, done } = await iterator.next();
    if (done) break;
    sample.push(value);
  }
  const all = async function* () {
    yield* sample;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      yield next.value;
    }
  };
  return { sample, all: all() };
}

function mapFrom(text: string): FieldMap {
  const map = Object.fromEntries(text.split(",").map((part) => part.split("=", 2)));
  const unknown = Object.keys(map).find((name) => !MAP_NAMES.includes(name));
  if (unknown === undefined) return map;
  const near = suggest(unknown, MAP_NAMES);
  throw new Fail(`--map: unknown name "${unknown}"`, {
    why: near ? `did you mean "${near}"?` : `known: ${MAP_NAMES.join(", ")}`,
    fix: "--map prompt=KEY,response=KEY: what it is first, then the key of your rows",
    exit: Exit.usage,
  });
}

/** A system prompt from a file, or the text itself; what looks like a path must be one. */
function systemOf(given: string): string {
  const path = given.startsWith("@") ? given.slice(1) : given;
  if (!given.startsWith("@") && !existsSync(path) && /\s/.test(given)) return given;
  return readText(path, "the system prompt").replace(/\r?\n$/, "");
}

async function endOf(model: string): Promise<string> {
  const { tokenizer } = await textsOf(model);
  return tokenizer.eos === undefined ? "" : tokenizer.tokenText(tokenizer.eos) ?? "";
}

function refuseSame(input: string, output: string) {
  if (realpathSync(input) !== realpathSync(output)) return;
  throw new Fail("a file is never changed in place", {
    why: `${output} is the file that is read`,
    fix: "name another one with -o",
    exit: Exit.usage,
  });
}

function unknownForm(name: string, sample: readonly Value[], map: FieldMap | undefined): Fail {
  const broken = sample.filter(({ problem }) => problem !== undefined);
  if (broken.length > 0) {
    const bad = broken.map(({ line, text, problem }) => ({ line, text, reason: problem! }));
    return badRows(name, bad, sample.length, "rows are JSON objects, one a line");
  }
  const { line, value } = sample[0]!;
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  return new Fail(`${name}: no form of row has these fields`, {
    why: `line ${line} has ${keys.join(", ") || "no fields"}` +
      (map ? `; the map names ${Object.keys(map).join(", ")}` : ""),
    fix: "say which keys hold what: --map prompt=KEY,response=KEY; or the form: --from",
    exit: Exit.data,
  });
}

function warnOfSystems(
  own: ReadonlyMap<string, number>,
  system: string | undefined,
  warn: (code: string, message: string, fix?: string) => void,
) {
  const others = [...own].filter(([text]) => text !== system);
  const rows = others.reduce((sum, [, n]) => sum + n, 0);
  if (system !== undefined && rows > 0) {
    warn("WH0322", `${plural(rows, "row")} had another system prompt, which --system replaced`);
  } else if (system === undefined && own.size > 1) {
    warn(
      "WH0322",
      `the rows have ${own.size} different system prompts`,
      "--system FILE gives all rows one",
    );
  }
}
