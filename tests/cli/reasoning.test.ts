// whet data reasoning against a server that speaks the real shapes, and as a stranger meets it.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Behaviour, mockTeacher } from "./mock_teacher.ts";
import { whet } from "./inside.ts";

setDefaultTimeout(120_000);
const root = mkdtempSync(join(tmpdir(), "whet reasoning ü-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => {
  const path = join(root, String(folders++));
  mkdirSync(path);
  return path;
};
const KEY = "sk-canary-4711-do-not-tell";
const rowsOf = (path: string) =>
  readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const last = (out: string) => JSON.parse(out.trim().split("\n").at(-1)!);
const PLACES = ["north", "south", "pond", "gate", "fence", "shed", "east", "west", "long", "sunny"];

/** A folder with rows of requests for a bed each. */
function prepared(rows = 10): string {
  const dir = folder();
  const lines = PLACES.slice(0, rows).map((bed) =>
    JSON.stringify({
      gtm_prompt: `give the ${bed} bed some water`,
      intent_ir: { action: "soak", bed },
    })
  );
  writeFileSync(join(dir, "rows.jsonl"), lines.join("\n") + "\n");
  return dir;
}

async function ask(dir: string, behave: (n: number) => Behaviour, more: string[] = []) {
  using mock = mockTeacher(behave);
  const argv = ["data", "reasoning", "rows.jsonl", "--teacher", "openai:mock", "--json", ...more];
  const env = { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${mock.url}/v1` };
  return { ...await whet(argv, dir, { env }), seen: mock.seen };
}

test("a teacher's chains: in the second form, and no call repeated after a stop", async () => {
  const dir = prepared();
  const first = await ask(dir, () => "good", ["--batch", "4", "--max-calls", "1"]);
  expect(first.code).toBe(9);
  expect(first.err).toContain("stopped at 4 of 10 chains");
  expect(existsSync(join(dir, "rows_with_reasoning.jsonl"))).toBe(false);
  const second = await ask(dir, (n) => n === 1 ? "500" : "good", ["--batch", "4"]);
  expect(second.code).toBe(0);
  // One failed, then the two that were left.
  expect(second.seen).toHaveLength(3);
  const asked = second.seen.slice(1).flatMap((
    { prompt },
  ) => [...prompt.matchAll(/^\{"id":"(\w+)"/gm)]);
  expect(asked).toHaveLength(6);
  expect(last(second.out)).toMatchObject({ rows: 10, left_out: 0, shallow: 0, contradicting: 0 });
  const rows = rowsOf(join(dir, "rows_with_reasoning.jsonl"));
  expect(Object.keys(rows[0])).toEqual(["gtm_prompt", "reasoning", "intent_ir", "metadata"]);
  expect(rows.map(({ intent_ir }) => intent_ir.bed)).toEqual(PLACES);
  expect(rows[2].reasoning).toStartWith("- 'some water' (");
  expect(rows[2].metadata).toEqual({ reasoning: "openai:mock" });
  expect(readdirSync(dir).sort()).toEqual(["rows.jsonl", "rows_with_reasoning.jsonl"]);
  const all = readdirSync(dir).map((name) => readFileSync(join(dir, name), "utf8")).join("") +
    first.out + first.err + second.out + second.err;
  expect(all).not.toContain(KEY);
  // What has a reasoning keeps it.
  const again = await whet(
    ["data", "reasoning", "rows_with_reasoning.jsonl", "-o", "again.jsonl", "--json"],
    dir,
  );
  expect(last(again.out)).toMatchObject({ rows: 10, kept: 10 });
  expect(rowsOf(join(dir, "again.jsonl"))).toEqual(rows);
});

test("shallow chains are asked for again, three times, and then the row is left out", async () => {
  const dir = prepared(3);
  const mended = await ask(dir, (n) => n === 1 ? "bad rows" : "good");
  expect(mended.code).toBe(0);
  expect(mended.seen).toHaveLength(2);
  expect(mended.seen[1]!.prompt).toContain("shallow: 3 words");
  const never = await ask(dir, () => "bad rows", ["--force", "-o", "never.jsonl"]);
  expect(never.code).toBe(3);
  expect(never.err).toContain("brought no chains");
  expect(never.seen).toHaveLength(3);
});

test("--preview shows the first rows and writes nothing; the flags of the documents work", async () => {
  const dir = prepared();
  const preview = await whet(["data", "reasoning", "rows.jsonl", "--preview", "2"], dir);
  expect(preview.code).toBe(0);
  expect(preview.out).toContain("'north' in the request gives the bed");
  expect(preview.out).not.toContain("pond");
  expect(preview.err).toContain("these chains are templates");
  expect(readdirSync(dir)).toEqual(["rows.jsonl"]);
  const { code, out } = await whet(
    ["data", "reasoning", "--input", "rows.jsonl", "--output", "with.jsonl"],
    dir,
  );
  expect(code).toBe(0);
  expect(out).toMatch(/templated +10/);
  const checked = await whet(["data", "reasoning", "with.jsonl", "--check", "--json"], dir);
  expect(last(checked.out)).toMatchObject({
    rows: 10,
    without: 0,
    templated: 10,
    contradicting: 0,
  });
  const cot = await whet(["data", "convert", "with.jsonl", "--to", "cot"], dir);
  expect(JSON.parse(cot.out.split("\n")[0]!).completion).toStartWith("<reasoning>\n- 'north' in");
});

test("by hand: prompts out, answers in", async () => {
  const dir = prepared(5);
  const emit = ["data", "reasoning", "rows.jsonl", "--emit-prompts", "prompts", "--batch", "3"];
  expect((await whet(emit, dir)).code).toBe(0);
  expect(readdirSync(join(dir, "prompts"))).toEqual(["prompt-0001.md", "prompt-0002.md"]);
  const ids = ["1", "2"].flatMap((n) =>
    [...readFileSync(join(dir, `prompts/prompt-000${n}.md`), "utf8").matchAll(/^\{"id":"(\w+)"/gm)]
      .map(([, id]) => id!)
  );
  const answer = (some: string[]) =>
    "Here you are:\n" + JSON.stringify(some.map((id, i) => ({
      id,
      reasoning: [
        `'water' tells that it is dry there, which ${id} makes more likely`,
        `plan ${i} is`,
      ],
    })));
  writeFileSync(join(dir, "a.txt"), answer(ids.slice(0, 3)));
  writeFileSync(join(dir, "b.txt"), answer([...ids.slice(3), "ffffffff"]));
  const part = await whet(["data", "reasoning", "rows.jsonl", "--import", "a.txt"], dir);
  expect(part.code).toBe(0);
  expect(part.err).toContain("2 chains missing");
  const rest = await whet(["data", "reasoning", "rows.jsonl", "--import", "a.txt,b.txt"], dir);
  expect(rest.code).toBe(0);
  expect(rest.err).toContain("a.txt was read before");
  expect(rest.err).toContain("no such id");
  const rows = rowsOf(join(dir, "rows_with_reasoning.jsonl"));
  expect(rows).toHaveLength(5);
  expect(rows[0].reasoning).toContain("\n- plan 0");
  expect(rows[0].metadata).toEqual({ reasoning: "manual" });
});

test("rows that cannot be reasoned about are named", async () => {
  const dir = folder();
  writeFileSync(join(dir, "rows.jsonl"), '{"prompt":"a","completion":"b"}\n');
  const { code, err } = await whet(["data", "reasoning", "rows.jsonl"], dir);
  expect(code).toBe(3);
  expect(err).toContain("line 1: completion is no JSON object");
});
