import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { whet } from "./run.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "whet data ü-"));
const micro = join(import.meta.dir, "../../models/micro");
const garden = join(import.meta.dir, "../../schemas/garden.yaml");
afterAll(() => rmSync(folder, { recursive: true }));

const put = (name: string, ...rows: (object | string)[]) =>
  writeFileSync(
    join(folder, name),
    rows.map((row) => typeof row === "string" ? row : JSON.stringify(row)).join("\n") + "\n",
  );
const read = (name: string) => readFileSync(join(folder, name), "utf8");
const row = (i: number) => ({
  id: `r${i}`,
  prompt: `a question about ${"abcdefghij"[i % 10]!.repeat(9)} ${i}`,
  completion: `${i}`,
});

describe.concurrent("data check", () => {
  test("names bad rows with line, id and reason, exits 3; numbered fixes write another file", async () => {
    put("bad.jsonl", row(1), { id: "x7", prompt: "q", completion: "" }, row(2), "nope", row(1));
    const before = read("bad.jsonl");
    const ran = await whet(["data", "check", "bad.jsonl", "--fix"], folder);
    expect(ran.code).toBe(3);
    expect(ran.err).toContain("2 of 5 rows of bad.jsonl cannot be used");
    expect(ran.err).toContain("line 2, id x7: nothing to train on: completion is empty");
    expect(ran.err).toContain("line 4: not valid JSON at column 1");
    expect(ran.out).toContain("1  leave out the rows that cannot be used (2)");
    expect(ran.out).toContain("2  leave out rows that are copies of earlier ones (1)");
    const partly = await whet(["data", "check", "bad.jsonl", "--fix", "2"], folder);
    expect([partly.code, partly.err.includes("--fix 1,2")]).toEqual([2, true]);
    const place = await whet(
      ["data", "check", "bad.jsonl", "--fix", "1", "-o", "bad.jsonl"],
      folder,
    );
    expect(place.code).toBe(2);
    const fixed = await whet(["data", "check", "bad.jsonl", "--fix", "1,2"], folder);
    expect(fixed.code).toBe(0);
    expect(read("bad_prepared.jsonl")).toBe(
      [row(1), row(2)].map((r) => JSON.stringify(r) + "\n").join(""),
    );
    expect(read("bad.jsonl")).toBe(before);
  });

  test("counts all, shows 20; --json has both", async () => {
    put("many.jsonl", ...Array<string>(50).fill("{}"));
    const { code, out } = await whet(["data", "check", "many.jsonl", "--json"], folder);
    const [report, error] = out.trim().split("\n").map((line) => JSON.parse(line));
    expect(code).toBe(3);
    expect([report.counts.bad, report.bad.length, error.exit]).toEqual([50, 20, 3]);
    expect(report.bad.map(({ line }: { line: number }) => line).at(-1)).toBe(20);
  });

  test("a CLI schema's rules, and rows that stand in the other file", async () => {
    const said = (answer: object, instruction = "water it") => ({
      instruction,
      context: null,
      output: JSON.stringify(answer),
    });
    const water = {
      type: "command",
      command: "bed",
      subcommand: "sow",
      args: { crop: "beans", bed: "north" },
      flags: [],
      confidence: 1,
    };
    put(
      "rules.jsonl",
      said(water, "sow beans in the north bed"),
      said({ ...water, command: "fly" }),
      said({ ...water, subcommand: "fly" }),
      said({ ...water, args: { ...water.args, rows: "many" } }),
      said({ ...water, args: {} }),
      { instruction: "water it", context: null, output: "not json" },
    );
    put("val.jsonl", said(water, "sow beans in the north bed"));
    const ran = await whet(
      ["data", "check", "rules.jsonl", "--schema", garden, "--against", "val.jsonl", "--json"],
      folder,
    );
    const report = JSON.parse(ran.out.split("\n")[0]!);
    expect(ran.code).toBe(3);
    expect(report.bad.map(({ line }: { line: number }) => line)).toEqual([2, 3, 4, 5, 6]);
    const reasons = report.bad.map(({ reason }: { reason: string }) => reason);
    expect(reasons[0]).toContain('unknown command "fly"');
    expect(reasons[2]).toContain("argument rows must be of type integer");
    expect(reasons[3]).toContain("required argument crop is missing");
    expect(reasons[4]).toBe("the answer is not valid JSON");
    expect(report.counts.leaked).toBe(1);
  });

  test("--fail-under is a gate on the diversity; stdin passes through to the next in a pipe", async () => {
    const rows = Array<object>(12).fill(row(3)).map((r) => JSON.stringify(r)).join("\n") + "\n";
    const gate = await whet(["data", "check", "-", "--fail-under", "0.5"], folder, { stdin: rows });
    expect([gate.code, gate.out]).toEqual([9, rows]);
    expect(gate.err).toContain("the diversity is 0.00, wanted 0.5");
  });
});

describe.concurrent("data convert", () => {
  test("raw queries become chat rows with the one system prompt of a file", async () => {
    writeFileSync(
      join(folder, "raw.json"),
      JSON.stringify([{ query: "q", data: { a: 1 } }, { query: "r", data: [] }]),
    );
    writeFileSync(join(folder, "system.txt"), "Be brief.\n");
    const { code, out, err } = await whet([
      "data",
      "convert",
      "raw.json",
      "--to",
      "messages",
      "--system",
      "system.txt",
    ], folder);
    expect(code).toBe(0);
    expect(err).toContain("rows of the form raw, 100 % of the first 2");
    expect(out.trim().split("\n").map((line) => JSON.parse(line).messages[0].content)).toEqual([
      "Be brief.",
      "Be brief.",
    ]);
  });
  test("one bad row, and nothing is written", async () => {
    put("half.jsonl", { query: "q", data: 1 }, { query: "", data: 2 });
    const { code, err } = await whet([
      "data",
      "convert",
      "half.jsonl",
      "--to",
      "prompt",
      "-o",
      "never.jsonl",
    ], folder);
    expect(code).toBe(3);
    expect(err).toContain("line 2: query is empty");
    expect(await Bun.file(join(folder, "never.jsonl")).exists()).toBe(false);
  });
  test("equal pairs are passed over with a warning; CSV from stdin is mapped", async () => {
    const pairs = await whet(["data", "convert", "--to", "dpo"], folder, {
      stdin:
        '{"prompt":"p","chosen":"a","rejected":"a"}\n{"prompt":"p","chosen":"a","rejected":"b"}\n',
    });
    expect(pairs.err).toContain("Skipping identical pair on line 1");
    expect(pairs.out).toBe('{"prompt":"p","chosen":"a","rejected":"b"}\n');
    const csv = await whet(
      ["data", "convert", "-", "--to", "prompt", "--map", "prompt=question,response=reply"],
      folder,
      {
        stdin: "question,reply\nwhy,because\n",
      },
    );
    expect(csv.out).toBe('{"prompt":"why","completion":"because"}\n');
  });
});

describe.concurrent("data show, split, plan", () => {
  test("--mask marks the tokens that are trained, end token and all", async () => {
    put("show.jsonl", {
      messages: [{ role: "user", content: "hello" }, { role: "assistant", content: "hi" }],
    });
    const { out, code } = await whet(
      ["data", "show", "-m", micro, "-d", "show.jsonl", "--mask"],
      folder,
    );
    expect(code).toBe(0);
    expect(out).toContain("<|user|>hello<|assistant|>【hi<|endoftext|>】");
    const long = await whet(
      [
        "data",
        "show",
        "-m",
        micro,
        "-d",
        "show.jsonl",
        "--n",
        "0",
        "--max-seq",
        "8",
        "--overlong",
        "drop",
        "--json",
      ],
      folder,
    );
    const { longest, overlong, dropped } = JSON.parse(long.out);
    expect([overlong, dropped]).toEqual(longest > 8 ? [1, 1] : [0, 0]);
  });
  test("a tenth validates, equal rows never on both sides", async () => {
    put("all.jsonl", ...Array.from({ length: 100 }, (_, i) => row(i % 80)));
    const { out, code } = await whet(["data", "split", "all.jsonl"], folder);
    expect([code, out]).toEqual([0, "Split: 90 train, 10 val\n"]);
    const [train, val] = ["all_train.jsonl", "all_val.jsonl"].map((name) =>
      read(name).trim().split("\n")
    );
    expect([train!.length, val!.length]).toEqual([90, 10]);
    expect(val!.some((line) => train!.includes(line))).toBe(false);
  });
  test("the arithmetic of a plan, and its cost at the prices given", async () => {
    const { out } = await whet([
      "data",
      "plan",
      garden,
      "--price-in",
      "5",
      "--price-out",
      "25",
      "--json",
    ], folder);
    const plan = JSON.parse(out);
    expect(plan).toMatchObject({
      subcommands: 7,
      phrased: 350,
      rows: 700,
      withContext: 420,
      withoutContext: 140,
      negative: 140,
      calls: 14,
    });
    expect(plan.cost_usd).toBeCloseTo((5 * plan.tokens_in + 25 * 84_000) / 1e6, 9);
  });
});

test("an adapter trained under one system prompt warns of another, and --strict-prompt refuses", async () => {
  const chat = (i: number) => ({
    messages: [{ role: "system", content: "Be brief." }, { role: "user", content: `say ${i}` }, {
      role: "assistant",
      content: `${i}`,
    }],
  });
  put("chat.jsonl", chat(1), chat(2));
  const train = await whet(
    [
      "train",
      "sft",
      "-m",
      micro,
      "-d",
      "chat.jsonl",
      "-o",
      "run",
      "--iters",
      "1",
      "--batch",
      "2",
      "--rank",
      "2",
    ],
    folder,
  );
  expect(train.code).toBe(0);
  const lock = JSON.parse(read("run/prompt.json"));
  expect(lock.system).toBe("Be brief.");
  expect(JSON.parse(read("run/run.json")).prompt).toEqual(lock);
  const ask = (...more: string[]) =>
    whet(["infer", "-m", micro, "-a", "run", "-p", "say 1", "--max-tokens", "1", ...more], folder);
  const [same, other, strict] = await Promise.all([
    ask("--system", "Be brief."),
    ask("--chat"),
    ask("--chat", "--strict-prompt"),
  ]);
  expect([same.code, same.err.includes("another prompt")]).toEqual([0, false]);
  expect(other.code).toBe(0);
  expect(other.err).toContain("the system prompt of the training is missing");
  expect([strict.code, strict.out]).toEqual([3, ""]);
});
