// The command line as a stranger meets it: help, errors, exit codes, streams.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { explain } from "../../src/commands/settings/explanations.ts";
import { aliases, later, table } from "../../src/commands/mod.ts";
import { fieldsOf } from "../../src/settings/field.ts";
import { start, whet } from "./run.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "whet cli ü-"));
afterAll(() => rmSync(folder, { recursive: true }));
const inside = (name: string, files: Record<string, string>) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
};

describe.concurrent("help", () => {
  test("whet alone and whet --help list every command", async () => {
    const [alone, asked] = await Promise.all([whet([], folder), whet(["--help"], folder)]);
    expect(alone).toEqual(asked);
    expect(alone.code).toBe(0);
    for (const { about } of table) expect(alone.out).toContain(about);
    expect(alone.err).toBe("");
  });

  test("examples come first, -h is short, --help is all", async () => {
    const [short, long, word] = await Promise.all([
      whet(["tokenize", "-h"], folder),
      whet(["tokenize", "--help"], folder),
      whet(["help", "tokenize"], folder),
    ]);
    expect(short.out.indexOf("Examples")).toBeLessThan(short.out.indexOf("Usage"));
    expect(short.out).toContain("-m, --model DIR");
    expect(short.out).not.toContain("--log-file");
    expect(long.out).toContain("--log-file FILE");
    expect(long.out).toContain("--model-name-or-path");
    expect(word).toEqual(long);
  });

  test("help works where settings would be missing or wrong", async () => {
    const dir = inside("broken", { "whet.yaml": "rnak: 1\n" });
    expect((await whet(["score", "--rank", "--help"], dir)).code).toBe(2);
    expect((await whet(["score", "--help"], dir)).code).toBe(0);
  });

  test("--version", async () => {
    expect(await whet(["--version"], folder)).toEqual({ code: 0, out: "0.1.0\n", err: "" });
  });
});

describe.concurrent("errors have three lines, a code and an exit code", () => {
  const cases: [argv: string[], code: number, err: string][] = [
    [
      ["dcotor"],
      2,
      'error: unknown command "dcotor" [WH0209]\n' +
      '  why: did you mean "doctor"?\n  fix: whet doctor --help\n',
    ],
    [
      ["banana"],
      2,
      'error: unknown command "banana" [WH0209]\n' +
      "  why: whet has no such command\n  fix: whet --help lists the commands\n",
    ],
    [
      ["config", "shwo"],
      2,
      'error: unknown command "config shwo" [WH0209]\n' +
      '  why: did you mean "config show"?\n  fix: whet config show --help\n',
    ],
    [
      ["score", "--modle", "x"],
      2,
      "error: unknown flag --modle [WH0211]\n  why: did you mean --model?\n  fix: write --model\n",
    ],
    [
      ["score", "-m"],
      2,
      "error: --model needs a value [WH0212]\n  why: nothing follows it\n" +
      "  fix: write --model and the value; whet score --help says which\n",
    ],
    [
      ["score"],
      2,
      "error: missing: --model [WH0207]\n" +
      "  why: model: the base model: a Hugging Face folder (config.json, *.safetensors, " +
      "tokenizer.json), or a GGUF file\n  fix: add -m DIR\n",
    ],
    [
      ["tokenize", "-m", "x", "a", "b"],
      2,
      'error: unexpected argument "b" [WH0210]\n  why: whet tokenize takes FILE\n' +
      "  fix: whet tokenize --help lists them\n",
    ],
    [
      ["infer", "-m", "x", "--temp", "hot"],
      2,
      'error: --temp: expected a number, got "hot" [WH0201]\n' +
      "  why: 0 takes the likeliest token, higher is more varied\n  fix: for example --temp 0\n",
    ],
    [
      ["data", "push", "rows.jsonl"],
      2,
      "error: whet data push is not built yet [WH0206]\n" +
      "  why: rows are JSONL files: send them with the tools of the service\n" +
      "  fix: whet --help lists what works\n",
    ],
    [
      ["score", "-m", "./nowhere", "rows.jsonl"],
      3,
      "error: cannot read rows.jsonl [WH0301]\n  why: there is no such file\n" +
      "  fix: check the path: ls -l rows.jsonl\n",
    ],
    [
      ["explain", "WH9999"],
      2,
      'error: unknown code "WH9999" [WH0213]\n' +
      "  why: codes look like WH0203, exit codes are numbers from 0 to 12\n" +
      "  fix: whet explain lists all of them\n",
    ],
    [
      ["doctor", "--dry-run"],
      2,
      "error: whet doctor has no dry run [WH0214]\n" +
      "  why: it either writes nothing, or has no way to say beforehand what it would write\n" +
      "  fix: leave --dry-run out\n",
    ],
  ];
  for (const [argv, code, err] of cases) {
    test(argv.join(" "), async () => {
      expect(await whet(argv, folder)).toEqual({ code, out: "", err });
    });
  }

  test("--json adds one error event on stdout", async () => {
    const { code, out } = await whet(["score", "--json", "--modle", "x"], folder);
    expect(code).toBe(2);
    expect(JSON.parse(out)).toEqual({
      event: "error",
      v: 1,
      code: "WH0211",
      what: "unknown flag --modle",
      why: "did you mean --model?",
      fix: "write --model",
      exit: 2,
    });
  });

  test("the stack only with --debug", async () => {
    expect((await whet(["score"], folder)).err).not.toContain(" at ");
    const { err } = await whet(["score", "--debug"], folder);
    expect(err).toMatch(/\n {4}at .*load\.ts/);
  });
});

describe.concurrent("settings", () => {
  test("a misspelt key in whet.yaml is found with its place", async () => {
    const dir = inside("typo", { "whet.yaml": "model: ./m\ntrain:\n  lr: 1e-4\n  rnak: 8\n" });
    const { code, err } = await whet(["doctor"], dir);
    expect(code).toBe(2);
    expect(err).toStartWith('error: whet.yaml:4:3: unknown setting of train "rnak" [WH0203]\n');
    expect(err).toContain('did you mean "rank"?');
  });

  test("flag > environment > --config > whet.yaml > built-in, and each says where it is from", async () => {
    const dir = inside("order", {
      "whet.yaml": "train: { lr: 1e-5, rank: 2, batch: 3, seed: 1 }\n",
      "other.json": '{"train": {"lr": 2e-5, "rank": 4, "batch": 5}}',
    });
    const { out, code } = await whet(
      ["config", "show", "-c", "other.json", "--set", "train.lr=4e-5", "--json"],
      dir,
      { env: { WHET_RANK: "6" } },
    );
    expect(code).toBe(0);
    const settings: { key: string; value: unknown; from: string }[] = JSON.parse(out).settings;
    const of = (key: string) => settings.find((s) => s.key === key);
    expect(of("lr")).toEqual({ key: "lr", value: 4e-5, from: "--set train.lr=4e-5" });
    expect(of("rank")).toEqual({ key: "rank", value: 6, from: "WHET_RANK" });
    expect(of("batch")).toEqual({ key: "batch", value: 5, from: "other.json:1:35" });
    expect(of("seed")).toEqual({ key: "seed", value: 1, from: "whet.yaml:1:39" });
    expect(of("scheduler")).toMatchObject({ value: "cosine", from: "built-in" });
  });

  test("a nearly right WHET_ variable is pointed out", async () => {
    const { err } = await whet(["config", "schema"], folder, { env: { WHET_DEVISE: "0" } });
    expect(err).toContain("WHET_DEVISE is not a setting");
    expect(err).toContain("WHET_DEVICE");
  });

  test("config schema is JSON Schema, config explain finds a key by any of its names", async () => {
    const [schema, one] = await Promise.all([
      whet(["config", "schema"], folder),
      whet(["config", "explain", "learning-rate"], folder),
    ]);
    expect(JSON.parse(schema.out).properties.train.properties.lr.type).toBe("number");
    expect(one.out).toContain("--lr --learning-rate");
    expect(one.out).toContain("WHET_LR");
  });
});

describe.concurrent("streams", () => {
  test("bad rows are listed with their line numbers, and nothing is computed", async () => {
    const rows = '{"ids":[1]}\n\n{"x":1}\nnot json\r\n{"ids":[1,-2]}\n"text"\n{"ids":[2]}';
    const { code, out, err } = await whet(["score", "-m", "./nowhere"], folder, { stdin: rows });
    expect(code).toBe(3);
    expect(out).toBe("");
    expect(err).toStartWith("error: 4 of 6 rows of stdin cannot be used [WH0304]\n");
    expect(err).toContain('line 3: neither "ids" nor "text": {"x":1}');
    expect(err).toContain("line 4: not valid JSON");
    expect(err).toContain('line 5: "ids"[1] is -2, not a token id');
    expect(err).toContain("line 6: not an object");
  });

  test("at most 20 bad rows are listed", async () => {
    const { err } = await whet(["score", "-m", "x"], folder, { stdin: "{}\n".repeat(50) });
    expect(err.match(/line \d+:/g)).toHaveLength(20);
    expect(err).toContain("and 30 more");
  });

  test("bytes that are not UTF-8 are refused with their line", async () => {
    const stdin = Buffer.concat([Buffer.from('{"ids":[1]}\n{"text":"'), Buffer.of(0xff, 0x0a)]);
    const { code, err } = await whet(["score", "-m", "x"], folder, { stdin });
    expect(code).toBe(3);
    expect(err).toContain("stdin, line 2: not valid UTF-8");
  });

  test("no rows at all", async () => {
    const { code, err } = await whet(["score", "-m", "x"], folder, { stdin: "\n\n" });
    expect(code).toBe(3);
    expect(err).toContain("stdin holds no rows");
  });

  test("a reader that goes away ends nothing badly", async () => {
    const child = start(["config", "schema"], folder);
    child.stdin.end();
    await child.stdout.cancel();
    const [err, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    expect({ err, code }).toEqual({ err: "", code: 0 });
  });

  test("the log file gets every event, whatever the terminal shows", async () => {
    const log = join(folder, "events.jsonl");
    await whet(["score", "--log-file", log, "-m", "x"], folder, { stdin: "{}" });
    const events = (await Bun.file(log).text()).trim().split("\n").map((line) => JSON.parse(line));
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ event: "error", v: 1, exit: 3 });
  });

  test("no colour in a pipe unless forced, and never with --no-color", async () => {
    const paint = { FORCE_COLOR: "1" };
    const [plain, forced, off] = await Promise.all([
      whet(["banana"], folder),
      whet(["banana"], folder, { env: paint }),
      whet(["banana", "--no-color"], folder, { env: paint }),
    ]);
    expect(plain.err).not.toContain("\x1b");
    expect(forced.err).toContain("\x1b[31merror:\x1b[39m");
    expect(off.err).not.toContain("\x1b");
  });

  test("a signal ends a command that writes nothing at once", async () => {
    for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      const child = start(["score", "-m", "x"], folder);
      await Bun.sleep(700);
      child.kill(signal);
      expect(await child.exited).toBe(code);
    }
  });
});

describe("the table", () => {
  test("every command loads, has examples of itself, and its settings are declared", async () => {
    for (const { load } of table) {
      const command = await load();
      expect(command.examples.length).toBeGreaterThan(0);
      for (const example of command.examples) expect(example).toContain(`whet`);
      expect(() => fieldsOf(command.settings)).not.toThrow();
    }
  });
  test("names are unique, no alias hides a command, nothing promised for later is there", () => {
    const names = table.map((entry) => entry.name);
    expect(new Set(names).size).toBe(names.length);
    const first = new Set(names.map((name) => name.split(" ")[0]!));
    for (const name of Object.keys(aliases)) expect(first.has(name)).toBe(false);
    for (const name of Object.keys(later)) expect(names).not.toContain(name);
  });
  test("every error code in the sources can be explained", async () => {
    const root = join(import.meta.dir, "../../src");
    for await (const file of new Bun.Glob("**/*.ts").scan(root)) {
      if (file.endsWith(".test.ts")) continue;
      for (
        const [, code] of (await Bun.file(join(root, file)).text()).matchAll(
          /^(?!\s*\/?\*).*\b(WH\d{4})\b/gm,
        )
      ) {
        expect([file, code, explain(code!) !== undefined]).toEqual([file, code!, true]);
      }
    }
  });
});

describe("completions", () => {
  test("bash completes commands, second words and flags", async () => {
    const { out } = await whet(["completions", "bash"], folder);
    const complete = (words: string[]) => {
      const line = `${out}\nCOMP_WORDS=(${words.map((w) => `'${w}'`).join(" ")}); ` +
        `COMP_CWORD=${words.length - 1}; complete() { :; }; _whet; echo "\${COMPREPLY[*]}"`;
      return Bun.spawnSync(["bash", "-c", line.replace(/^complete .*$/m, "")]).stdout.toString();
    };
    expect(complete(["whet", "doc"])).toBe("doctor\n");
    expect(complete(["whet", "config", "s"])).toBe("show schema\n");
    expect(complete(["whet", "config", "show", "--log"])).toBe("--log-file\n");
    expect(complete(["whet", "score", "--ad"])).toBe("--adapter\n");
  });
  test("zsh, fish and pwsh scripts name every command", async () => {
    for (const shell of ["zsh", "fish", "pwsh"]) {
      const { out } = await whet(["completions", shell], folder);
      for (const { name } of table) expect(out).toContain(name.split(" ")[0]!);
    }
  });
});
