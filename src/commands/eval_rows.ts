import { resolve } from "node:path";
import { existsSync } from "node:fs";
import { isObject } from "../base/strict_json.ts";
import { Exit, Fail } from "../base/fail.ts";
import { plural, suggest } from "../base/text.ts";
import { type AdversarialRow, readAdversarial } from "../data/adversarial.ts";
import { datasetHash, leaks } from "../data/hash.ts";
import { jsonValues } from "../data/json_values.ts";
import { badRows, byteStream, readDataset, requestText, type SftExample } from "../data/rows.ts";
import { canonicalJson, parseAnswer } from "../evaluate/metrics.ts";
import { bodyOf } from "../evaluate/sections.ts";
import { readRun } from "../report/folder.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { mapOf } from "../settings/model.ts";
import type { Io } from "./io.ts";
import { questionOf } from "./questions.ts";
import { systemText } from "./texts.ts";

/** Keys of rows by which measures are sliced unasked, the first that tells rows apart. */
const USUAL = ["metadata.kind", "slice", "category", "kind"];
/** Most values of a key that is sliced by unasked. */
const MOST = 30;

type Slices = Readonly<Record<string, string>>[];

/**
 * Which slices every row belongs to: by the value of a key of the row, else of its answer; dots nest.
 * @param names as asked; where none, a usual key is looked for
 * @throws Fail (usage) for a name that no row has
 */
export async function slicesOf(
  path: string,
  examples: readonly SftExample[],
  names: readonly string[],
  tags: readonly string[],
): Promise<Slices | undefined> {
  const rows = await raw(path, examples.length);
  const answers = examples.map((example) =>
    parseAnswer(bodyOf(questionOf(example)?.expected ?? "", tags))?.value
  );
  const values = (name: string) =>
    examples.map((_, i) => named(at(rows?.[i], name)) ?? named(at(answers[i], name)));
  const usual = (name: string) => {
    const found = rows?.map((row) => at(row, name)) ?? [];
    const kinds = new Set(found);
    return kinds.size > 1 && kinds.size <= MOST && found.every((v) => typeof v === "string");
  };
  const wanted = names.length > 0 ? names : USUAL.filter(usual).slice(0, 1);
  if (wanted.length === 0) return undefined;
  const columns = wanted.map((name) => [name, values(name)] as const);
  for (const [name, column] of columns) {
    if (column.some((value) => value !== undefined)) continue;
    const known = [...new Set([...(rows ?? []), ...answers].flatMap((row) => paths(row)))];
    const near = suggest(name, known);
    throw new Fail(`--slice: no row has "${name}"`, {
      why: near ? `did you mean "${near}"?` : `rows have ${known.slice(0, 20).join(", ")}`,
      fix: `--slice ${near ?? known[0] ?? "KEY"}`,
      exit: Exit.usage,
    });
  }
  return examples.map((_, i) =>
    Object.fromEntries(columns.map(([name, column]) => [name, column[i] ?? "(none)"]))
  );
}

/** The rows as they stand in the file; of standard input, which is read once only, nothing. */
async function raw(path: string, most: number): Promise<unknown[] | undefined> {
  if (path === "-") return undefined;
  const rows: unknown[] = [];
  for await (const { value } of jsonValues(byteStream(path))) {
    if (rows.push(value) >= most) break;
  }
  return rows;
}

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((v, key) => isObject(v) ? v[key] : undefined, value);
}

/** A value as the name of a slice. */
function named(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === "string" ? value : canonicalJson(value);
}

/** Keys of an object and of the objects in it. */
function paths(value: unknown, before = ""): string[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    before + key,
    ...paths(inner, `${before}${key}.`),
  ]);
}

/**
 * Holds the rows' own answers against the schema: what it refuses there, no model can get right.
 * @throws Fail (data) where it refuses every one
 */
export function checkExpected(
  examples: readonly SftExample[],
  schema: AnswerSchema,
  path: string,
  tags: readonly string[],
  io: Io,
): void {
  const asked = examples.flatMap((example) => {
    const expected = questionOf(example)?.expected;
    return expected === undefined ? [] : [{ line: example.line, expected: bodyOf(expected, tags) }];
  });
  const refused = asked.flatMap(({ line, expected }) => {
    const answer = parseAnswer(expected);
    const [problem] = answer ? schema.problems(answer.value) : ["it is not JSON"];
    return problem === undefined ? [] : [{ line, problem }];
  });
  if (refused.length === 0) return;
  const first = `line ${refused[0]!.line}: ${refused[0]!.problem}`;
  if (refused.length === asked.length) {
    throw new Fail(`${path} refuses the answers of all ${plural(asked.length, "row")} themselves`, {
      why: first,
      fix: "give the schema that the rows were written for" +
        (tags.length === 0 ? "; --sections TAGS where answers come in sections" : ""),
      exit: Exit.data,
    });
  }
  io.warn(
    "WH0331",
    `${path} refuses the answers of ${refused.length} of ${plural(asked.length, "row")} ` +
      `themselves, the first at ${first}`,
    "a defect of the rows: correct them, for no model can answer them right and fit the schema",
  );
}

/** Warns of rows that the adapter was trained on, or that its best weights were chosen by. */
export async function warnOfTrained(
  adapter: string | undefined,
  examples: readonly SftExample[],
  { map, system, json_indent }: { map?: string; system?: string; json_indent: number },
  io: Io,
): Promise<void> {
  if (adapter === undefined || !existsSync(resolve(adapter, "run.json"))) return;
  const { manifest: { data, validation } } = readRun(adapter);
  const hash = datasetHash(examples);
  const warn = (what: string) =>
    io.warn("WH0307", what, "measure on rows that it has never seen: whet data split");
  if (hash === data.sha256) return warn(`${adapter} was trained on these very rows`);
  if (hash === validation?.sha256) {
    return warn(`the weights of ${adapter} were chosen by these very rows`);
  }
  if (data.path === "-" || !existsSync(data.path)) return;
  const trained = await readDataset(data.path, {
    map: mapOf(map),
    system: systemText(system),
    jsonIndent: json_indent,
  })
    .catch((error) => error instanceof Fail ? undefined : Promise.reject(error));
  if (!trained) return;
  const { exact, near } = leaks(trained.examples, examples);
  const found = exact.length + near.length;
  if (found === 0) return;
  const [there, here] = (exact[0] ?? near[0])!;
  warn(
    `${found} of ${plural(examples.length, "row")} also in ${data.path}, on which ${adapter} was ` +
      `trained, the first: line ${here}, there line ${there}`,
  );
}

/** Reads the rows of --adversarial. @throws Fail (data) naming those that are none */
export async function adversarialRows(path: string): Promise<AdversarialRow[]> {
  const rows: AdversarialRow[] = [];
  const bad: { line: number; reason: string; text: string }[] = [];
  const seen = new Set<string>();
  for await (const { line, text, value, problem } of jsonValues(byteStream(path))) {
    const row = problem === undefined ? readAdversarial(value) : { problem };
    if ("problem" in row) bad.push({ line, reason: row.problem, text });
    else if (seen.has(row.id)) bad.push({ line, reason: `the id ${row.id} stands twice`, text });
    else rows.push(row);
    if ("id" in row) seen.add(row.id);
  }
  const fix = "whet data adversarial -o adv.jsonl writes such rows";
  if (bad.length > 0) throw badRows(path, bad, rows.length + bad.length, fix);
  if (rows.length === 0) {
    throw new Fail(`${path} holds no rows`, { fix, exit: Exit.data });
  }
  return rows;
}

/** Adversarial rows asked in the form of the others: as a conversation with their system message, or bare. */
export function inFormOf(
  rows: readonly AdversarialRow[],
  examples: readonly SftExample[],
): SftExample[] {
  const [like] = examples;
  const bare = like !== undefined && "prompt" in like;
  const system = like !== undefined && "messages" in like && like.messages[0]?.role === "system"
    ? [like.messages[0]]
    : [];
  return rows.map(({ instruction, context }, i) => {
    const content = requestText(instruction, context);
    // What would be right is no answer but an expectation.
    return bare ? { line: i + 1, prompt: content, answer: "-" } : {
      line: i + 1,
      messages: [...system, { role: "user", content }, { role: "assistant", content: "-" }],
    };
  });
}
