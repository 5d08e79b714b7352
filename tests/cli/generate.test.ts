// whet data generate against a server that speaks the real shapes, and as a stranger meets it.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerProblems, parseCliSchema } from "../../src/settings/cli_schema.ts";
import { type Behaviour, mockTeacher } from "./mock_teacher.ts";
import { whet } from "./inside.ts";
import { whet as started } from "./run.ts";

setDefaultTimeout(120_000);
const root = mkdtempSync(join(tmpdir(), "whet generate ü-"));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => {
  const path = join(root, String(folders++));
  mkdirSync(path);
  return path;
};
const KEY = "sk-canary-4711-do-not-tell";

interface TestRow {
  readonly instruction: string;
  readonly context: unknown;
  readonly output: string;
  readonly metadata: { readonly case: string; readonly teacher: string };
}
const rowsOf = (path: string): TestRow[] =>
  readFileSync(path, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const last = (out: string) => JSON.parse(out.trim().split("\n").at(-1)!);

/** The whole text of everything below a folder. */
function everything(path: string): string {
  return readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => join(path, name))
    .filter((file) => statSync(file).isFile()).map((file) => `${file}\n${readFileSync(file)}`)
    .join("\n");
}

/** Asks the mock; both kinds of server get the same arguments. */
async function ask(
  kind: "anthropic" | "openai",
  behave: (n: number) => Behaviour,
  more: string[] = [],
  dir = folder(),
  env: Record<string, string> = {},
  run = whet,
) {
  using mock = mockTeacher(behave);
  const names: Record<string, string> = kind === "anthropic"
    ? { ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: mock.url }
    : { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: `${mock.url}/v1` };
  const teacher = kind === "anthropic" ? "anthropic:claude-opus-4-5" : "openai:gpt-5-mini";
  const ran = await run(
    ["data", "generate", "garden", "--teacher", teacher, "-o", "rows.jsonl", "--json", ...more],
    dir,
    { env: { ...names, WHET_CACHE: join(dir, "cache"), ...env } },
  );
  return { ...ran, dir, seen: mock.seen };
}

describe.concurrent("a schema's name is enough", () => {
  test.each(["garden", "gh", "git"])("%s: rows in the layout of a named training", async (name) => {
    const dir = folder();
    const { code, out, err } = await whet(["data", "generate", name, "--num", "400"], dir);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const base = join(dir, "training", "data", name);
    expect(readdirSync(base).sort()).toEqual(["train.jsonl", "train_val.jsonl"]);
    const train = rowsOf(join(base, "train.jsonl")), val = rowsOf(join(base, "train_val.jsonl"));
    expect([train.length, val.length]).toEqual([360, 40]);
    expect(out).toContain("with context     240    60.0 %");
    expect(out).toContain("negative         80     20.0 %");
    const file = `schemas/${name}.yaml`;
    const schema = parseCliSchema(
      readFileSync(join(import.meta.dir, "../..", file), "utf8"),
      file,
    );
    const all = [...train, ...val];
    for (const row of all) expect(answerProblems(schema, JSON.parse(row.output))).toEqual([]);
    expect(new Set(all.map((r) => r.instruction + JSON.stringify(r.context))).size).toBe(400);
    const cases = new Set(all.map(({ metadata }) => metadata.case));
    for (const one of ["full_context", "partial_context", "no_context", "off_topic"]) {
      expect(cases).toContain(one);
    }
    expect(cases.size).toBe(9);
  });

  test("what is there is kept; --force begins afresh, with the same rows from the same seed", async () => {
    const dir = folder();
    const argv = ["data", "generate", "garden", "--num", "40"];
    const path = join(dir, "training/data/garden/train.jsonl");
    await whet(argv, dir);
    const first = readFileSync(path, "utf8");
    writeFileSync(path, "mine\n");
    const again = await whet([...argv, "--json"], dir);
    expect(again.code).toBe(0);
    expect(again.err).toContain("is there already; --force");
    expect(last(again.out).skipped).toBe(true);
    expect(readFileSync(path, "utf8")).toBe("mine\n");
    await whet([...argv, "--force"], dir);
    expect(readFileSync(path, "utf8")).toBe(first);
  });

  test("schemas/ in this folder comes first", async () => {
    const dir = folder();
    mkdirSync(join(dir, "schemas"));
    writeFileSync(
      join(dir, "schemas/gh.yaml"),
      "cli_name: gh\ncommands: [{name: lamp, subcommands: [{name: light, args: [{name: room, required: true}]}]}]\n",
    );
    const { code } = await whet(["data", "generate", "gh", "-n", "30", "--val-split", "0"], dir);
    expect(code).toBe(0);
    const base = join(dir, "training/data/gh");
    expect(readdirSync(base)).toEqual(["train.jsonl"]);
    const rows = rowsOf(join(base, "train.jsonl"));
    expect(rows).toHaveLength(30);
    expect(rows.every(({ context }) => context === null)).toBe(true);
  });
});

describe.concurrent("teachers over a network", () => {
  test("Anthropic's Messages: shape of the call, rows, mix, cost", async () => {
    const { code, out, err, dir, seen } = await ask("anthropic", () => "good", ["-n", "100"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(seen).toHaveLength(2);
    const { path, headers, body, prompt } = seen[0]!;
    expect(path).toBe("/v1/messages");
    expect(headers["x-api-key"]).toBe(KEY);
    expect(headers["anthropic-version"]).toBe("2023-06-01");
    expect(body).toMatchObject({ model: "claude-opus-4-5", max_tokens: 13000 });
    expect(prompt).toContain("cli_name: garden");
    expect(prompt).toContain("Write 50 examples");
    expect(last(out)).toMatchObject({
      rows: 100,
      train_rows: 90,
      val_rows: 10,
      mix: { with_context: 60, without_context: 20, negative: 20 },
      calls: 2,
      tokens: 2400,
      cost: (2 * (1000 * 5 + 200 * 25)) / 1e6,
    });
    expect(existsSync(join(dir, "rows_progress.jsonl"))).toBe(false);
    expect(rowsOf(join(dir, "rows.jsonl"))[0]!.metadata.teacher).toBe("anthropic:claude-opus-4-5");
  });

  test("OpenAI's Chat Completions, several calls at once", async () => {
    const argv = ["-n", "60", "--batch", "10", "--parallel", "3"];
    const { code, out, seen } = await ask("openai", () => "good", argv);
    expect(code).toBe(0);
    expect(seen[0]!.path).toBe("/v1/chat/completions");
    expect(seen[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(seen[0]!.body).toMatchObject({ model: "gpt-5-mini", max_tokens: 3400 });
    expect(last(out)).toMatchObject({ rows: 60, calls: 6, mix: { with_context: 36 } });
  });

  test.each(["anthropic", "openai"] as const)(
    "%s: all that may pass is tried again",
    async (kind) => {
      const trouble: Behaviour[] = ["429", "500", "429 date", "529", "200 with error"];
      const { code, err, out, seen, dir } = await ask(
        kind,
        (n) => trouble[n - 1] ?? "good",
        ["-n", "20"],
        folder(),
        {},
        started, // waits between trials: beside the others
      );
      expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
      expect(seen).toHaveLength(6);
      // What was refused before it was computed costs nothing.
      expect(last(out).tokens).toBe(1200);
      expect(err + out + everything(dir)).not.toContain("canary");
      expect(err).toContain("429 rate_limit_error");
      expect(err).toContain("[key]");
    },
  );

  test("broken answers are tried again, and count as paid", async () => {
    const trouble: Behaviour[] = ["cut", "not json", "no content", "slow"];
    const argv = ["-n", "20", "--timeout", "1"];
    const { code, err, out } = await ask(
      "anthropic",
      (n) => trouble[n - 1] ?? "good",
      argv,
      folder(),
      {},
      started,
    );
    expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
    expect(err).toContain("not JSON");
    expect(err).toContain("no answer in time");
    expect(last(out).calls).toBe(5);
    expect(last(out).tokens).toBeGreaterThan(4 * 13_000);
  });

  test("fences, talk and cut ends are read around; bad rows are asked for again", async () => {
    const ways: Behaviour[] = ["fenced", "truncated", "bad rows", "prose"];
    const { code, out, seen, dir } = await ask(
      "openai",
      (n) => ways[n - 1] ?? "good",
      ["-n", "100", "--batch", "25"],
    );
    expect(code).toBe(0);
    const { mix, refused } = last(out);
    expect(mix).toMatchObject({ with_context: 60, without_context: 20, negative: 20 });
    expect(refused).toBeGreaterThan(15);
    expect(seen[3]!.prompt).toContain('bed has no subcommand "burn"');
    expect(everything(dir)).not.toContain("burn");
  });

  test.each(
    [
      ["401", 8, "refused with 401"],
      ["400", 7, "refused with 400"],
      ["redirect", 7, "redirects to"],
    ] as const,
  )("%s ends it at once, without the key in any place", async (how, exit, message) => {
    const { code, err, out, seen, dir } = await ask("anthropic", () => how, ["-n", "20"]);
    expect(code).toBe(exit);
    expect(seen).toHaveLength(1);
    expect(err).toContain(message);
    expect(err + out + everything(dir)).not.toContain("canary");
    expect(existsSync(join(dir, "rows.jsonl"))).toBe(false);
  });

  test("rows that never fit end it with the reasons, and the journal stays", async () => {
    const { code, err, seen, dir } = await ask("anthropic", () => "bad rows", [
      "-n",
      "40",
      "--batch",
      "5",
    ]);
    expect(code).toBe(3);
    expect(err).toContain('bed has no subcommand "burn"');
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect(existsSync(join(dir, "rows.jsonl"))).toBe(false);
    expect(existsSync(join(dir, "rows_progress.jsonl"))).toBe(true);
    const none = await ask("anthropic", () => "refusal", ["-n", "40"]);
    expect([none.code, none.seen.length]).toEqual([3, 3]);
  });

  test("a key that a server sends back is in no file", async () => {
    const { code, out, err, dir } = await ask("openai", () => "echo key", [
      "-n",
      "20",
      "--log-file",
      "log.jsonl",
      "--debug",
      "--verbose",
    ]);
    expect(code).toBe(0);
    expect(everything(dir)).toContain("water [key] plan");
    expect(out + err + everything(dir)).not.toContain("canary");
  });
});

describe.concurrent("budgets", () => {
  test("a cap ends it before it is exceeded, and the same command goes on", async () => {
    const dir = folder();
    const argv = ["-n", "50", "--batch", "10"];
    const first = await ask("anthropic", () => "good", [...argv, "--max-calls", "2"], dir);
    expect(first.code).toBe(9);
    expect(first.seen).toHaveLength(2);
    expect(first.err).toContain("stopped at 20 of 50 rows");
    const still = await ask("anthropic", () => "good", [...argv, "--max-calls", "2"], dir);
    expect([still.code, still.seen.length]).toEqual([9, 0]);
    const changed = readFileSync(join(dir, "rows_progress.jsonl"), "utf8");
    expect(changed.split("\n").filter((line) => line.includes('"reply"'))).toHaveLength(2);
    const rest = await ask("anthropic", () => "good", argv, dir);
    expect([rest.code, rest.seen.length]).toEqual([0, 3]);
    expect(rest.err).toContain("going on with 20 rows");
    expect(last(rest.out).rows).toBe(50);
  });

  test.each([["--max-tokens-total", "5000"], ["--max-cost", "0.05"]])("%s", async (flag, most) => {
    // One call may use 3,400 tokens of answer and some of prompt: $0.09 and more.
    const argv = ["-n", "50", "--batch", "10", flag, most];
    const { code, seen, err } = await ask("anthropic", () => "good", argv);
    expect(code).toBe(9);
    expect(seen.length).toBeLessThanOrEqual(1);
    expect(err).toContain(`could exceed ${flag} ${most}`);
  });

  test("--estimate tells calls, tokens and cost, needs no key and sends nothing", async () => {
    const dir = folder();
    const { code, out, err } = await whet(
      ["data", "generate", "gh", "--teacher", "anthropic", "--estimate"],
      dir,
    );
    expect({ code, err }).toEqual({ code: 0, err: "nothing was sent\n" });
    expect(out).toContain("about 66, 50 rows each");
    expect(out).toMatch(/cost +about \$\d+\.\d\d, at \$5 and \$25 .*November 2025/);
    expect(readdirSync(dir)).toEqual([]);
    const own = ["--teacher", "openai:mine", "--price-in", "1", "--price-out", "2"];
    const { out: priced } = await whet(["data", "generate", "gh", ...own, "--estimate"], dir);
    expect(priced).toMatch(/about \$\d/);
    const { out: unknown } = await whet(
      ["data", "generate", "gh", "--teacher", "openai:mine", "--estimate"],
      dir,
    );
    expect(unknown).toContain("unknown: give --price-in");
  });
});

test("two at once pay once", async () => {
  const dir = folder();
  using mock = mockTeacher(() => "good", 100);
  const env = {
    ANTHROPIC_API_KEY: KEY,
    ANTHROPIC_BASE_URL: mock.url,
    WHET_CACHE: join(dir, "cache"),
  };
  const argv = ["data", "generate", "garden", "--teacher", "anthropic", "-n", "50"];
  const ran = await Promise.all(
    [1, 2, 3].map(() => started([...argv, "--batch", "10", "-o", "r.jsonl"], dir, { env })),
  );
  expect(mock.seen).toHaveLength(5);
  const told = ran.map(({ code, err }) => `${code} ${err}`);
  expect(told.filter((text) => text === "0 ")).toHaveLength(1);
  for (const text of told.filter((text) => text !== "0 ")) {
    expect(text).toMatch(/^12 error: r\.jsonl is in use by|^0 r\.jsonl is there already/);
  }
});

describe.concurrent("by hand", () => {
  test("prompts out, answers in, in as many goes as it takes", async () => {
    const dir = folder();
    const argv = ["data", "generate", "garden", "-n", "30", "--batch", "20", "-o", "rows.jsonl"];
    const out = await whet([...argv, "--emit-prompts", "prompts"], dir);
    expect(out.code).toBe(0);
    expect(readdirSync(join(dir, "prompts"))).toEqual(["prompt-0001.md", "prompt-0002.md"]);
    expect(readFileSync(join(dir, "prompts/prompt-0002.md"), "utf8")).toContain(
      "Write 10 examples",
    );
    const row = (i: number) => ({
      input: `soak the north bed, plan ${i}`,
      context: null,
      output: {
        confidence: 0.9,
        type: "command",
        command: "bed",
        subcommand: "soak",
        args: { bed: "north" },
      },
    });
    const rows = Array.from({ length: 31 }, (_, i) => row(i));
    writeFileSync(join(dir, "a.txt"), `Sure!\n${JSON.stringify(rows.slice(0, 21))} {"input": 1}`);
    writeFileSync(join(dir, "b.txt"), rows.slice(20).map((r) => JSON.stringify(r)).join("\n"));
    const half = await whet([...argv, "--import", "a.txt"], dir);
    expect(half.code).toBe(0);
    expect(half.err).toContain("a.txt: 21 rows, 1 refused");
    expect(half.err).toContain("21 of 30 rows are there");
    const twice = await whet([...argv, "--import", "a.txt"], dir);
    expect(twice.err).toContain("a.txt was read before");
    const whole = await whet([...argv, "--import", "b.txt"], dir);
    expect(whole.err).toContain("b.txt: 10 rows, 1 refused");
    expect(whole.err).toContain("the same request is there already");
    expect(rowsOf(join(dir, "rows.jsonl")).length + rowsOf(join(dir, "rows_val.jsonl")).length)
      .toBe(31);
    expect(rowsOf(join(dir, "rows.jsonl"))[0]!.output).toBe(
      '{"type":"command","command":"bed","subcommand":"soak","args":{"bed":"north"},"flags":[],"confidence":0.9}',
    );
  });

  test("a JSON Schema and a template of one's own", async () => {
    const dir = folder();
    writeFileSync(
      join(dir, "mood.json"),
      JSON.stringify({
        type: "object",
        properties: { mood: { enum: ["good", "bad"] } },
        required: ["mood"],
        additionalProperties: false,
      }),
    );
    writeFileSync(join(dir, "t.txt"), "Schema: {schema_yaml}\nGive {n}. {not a slot}");
    const argv = [
      "data",
      "generate",
      "./mood.json",
      "-n",
      "2",
      "-o",
      "m.jsonl",
      "--val-split",
      "0",
    ];
    const out = await whet([...argv, "--emit-prompts", "p", "--template", "t.txt"], dir);
    expect(out.code).toBe(0);
    expect(readFileSync(join(dir, "p/prompt-0001.md"), "utf8")).toMatch(
      /^Schema: \{"type".*\nGive 2\. \{not a slot\}$/,
    );
    const rows = [["fine", "good"], ["awful", "bad"], ["so so", "middling"]]
      .map(([input, mood]) => ({ input, output: { mood } }));
    writeFileSync(join(dir, "a.json"), JSON.stringify(rows));
    const taken = await whet([...argv, "--import", "a.json"], dir);
    expect(taken.code).toBe(0);
    expect(taken.err).toContain("a.json: 2 rows, 1 refused");
    expect(rowsOf(join(dir, "m.jsonl")).map(({ output }) => output)).toEqual([
      '{"mood":"good"}',
      '{"mood":"bad"}',
    ]);
  });
});

describe.concurrent("bad input", () => {
  const cases: [argv: string[], code: number, err: RegExp, files?: Record<string, string>][] = [
    [["nosuch"], 2, /no schema "nosuch"[\s\S]*shipped: garden, gh, git/],
    [["gti"], 2, /did you mean git\?/],
    [["gh", "--num", "0"], 2, /--num: must be at least 1, got 0/],
    [["gh", "--teacher", "oracle"], 2, /no teacher "oracle"/],
    [["gh", "--teacher", "openai"], 2, /needs a name after a colon/],
    [["gh", "--teacher", "manual"], 2, /--emit-prompts DIR writes/],
    [["gh", "--teacher", "anthropic"], 8, /ANTHROPIC_API_KEY is not set/],
    [["gh", "--teacher", "openai:gpt-5"], 8, /OPENAI_API_KEY is not set/],
    [["gh", "--teacher", "anthropic", "--offline"], 2, /--offline exclude each other/],
    [["gh", "--teacher", "openai:mine", "--max-cost", "5"], 2, /needs to know what mine costs/],
    [["gh", "--import", "none.txt"], 2, /there is no such file/],
    [["gh", "--import", "e.txt"], 3, /e\.txt holds no rows/, { "e.txt": "nothing here" }],
    [
      ["gh", "--template", "t.txt"],
      2,
      /t\.txt:2: \{schema_yml\} is not a slot[\s\S]*\{schema_yaml\}\?/,
      {
        "t.txt": "{n}\n{schema_yml}",
      },
    ],
    [["gh", "--template", "t.txt"], 2, /has no \{n\}/, { "t.txt": "{schema_yaml}" }],
    [["./s.yaml"], 2, /s\.yaml:3:28: .*at least one subcommand/, {
      "s.yaml": "cli_name: s\ncommands:\n  - {name: a, subcommands: []}\n",
    }],
    [["./s.yaml"], 2, /s\.yaml:3:5: .*needs a list of subcommands/, {
      "s.yaml": "cli_name: s\ncommands:\n  - name: a\n",
    }],
    [["./s.json"], 2, /s\.json:1:\d+: /, { "s.json": '{"type": "object",, }' }],
    [["./j.json"], 2, /JSON Schema does not say how people ask/, { "j.json": '{"type":"object"}' }],
  ];
  test.each(cases)("%j", async (argv, code, err, files = {}) => {
    const dir = folder();
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    const env = { ANTHROPIC_API_KEY: "", OPENAI_API_KEY: "" };
    const ran = await whet(["data", "generate", ...argv], dir, { env });
    expect(ran.err).toMatch(err);
    expect(ran.code).toBe(code);
    expect(ran.out).toBe("");
    expect(ran.err).not.toContain("bug in whet");
    expect(existsSync(join(dir, "training/data/gh/train.jsonl"))).toBe(false);
  });

  test("a key that would travel in the clear, or stand in an address", async () => {
    const run = (url: string) =>
      whet(["data", "generate", "gh", "--teacher", "openai:m"], folder(), {
        env: { OPENAI_BASE_URL: url, OPENAI_API_KEY: KEY },
      });
    const [clear, inside, leaked] = await Promise.all([
      run("http://models.example.org/v1"),
      run(`https://me:${KEY}@models.example.org`),
      (async () => {
        const dir = folder();
        writeFileSync(join(dir, "t.txt"), `{schema_yaml} {n} ${KEY}`);
        const env = { ANTHROPIC_API_KEY: KEY };
        const argv = ["--teacher", "anthropic", "--template", "t.txt"];
        return await whet(["data", "generate", "gh", ...argv], dir, { env });
      })(),
    ]);
    expect(clear.err).toContain("for everybody to read");
    expect(inside.err).toContain("holds a name, a password or a query");
    expect(leaked.err).toContain("holds the value of ANTHROPIC_API_KEY");
    for (const { code, err } of [clear, inside, leaked]) {
      expect(code).toBe(2);
      expect(err).not.toContain("canary");
    }
  });

  test("a schema without enough words ends with what it gave", async () => {
    const dir = folder();
    writeFileSync(
      join(dir, "s.yaml"),
      "cli_name: s\ncommands: [{name: bell, subcommands: [{name: ring}]}]\n",
    );
    const { code, err } = await whet(["data", "generate", "./s.yaml", "-n", "5000"], dir);
    expect(code).toBe(3);
    expect(err).toMatch(/there are \d+ of 5000[\s\S]*--num \d+/);
  });

  test("progress of another schema is not continued; a torn last line is", async () => {
    const dir = folder();
    const argv = ["-n", "30", "--batch", "10"];
    await ask("anthropic", () => "good", [...argv, "--max-calls", "1"], dir);
    const path = join(dir, "rows_progress.jsonl");
    const whole = readFileSync(path, "utf8");
    writeFileSync(path, whole + '{"reply":2,"inp');
    const torn = await ask("anthropic", () => "good", [...argv, "--max-calls", "1"], dir);
    expect(torn.err).toContain("stopped at 10 of 30");
    expect(readFileSync(path, "utf8")).toBe(whole);
    writeFileSync(path, whole.replace(/"schema":"..../, '"schema":"0000'));
    const other = await ask("anthropic", () => "good", argv, dir);
    expect([other.code, other.seen.length]).toEqual([3, 0]);
    expect(other.err).toContain("of another schema");
    writeFileSync(path, whole.replace('{"call"', '{call"'));
    const damaged = await ask("anthropic", () => "good", argv, dir);
    expect(damaged.err).toContain("damaged in line 2");
    const fresh = await ask("anthropic", () => "good", [...argv, "--force"], dir);
    expect(last(fresh.out).rows).toBe(30);
  });
});
