// Training from the command line, from rows to a file that answers, on the built-in model.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRun } from "../../src/report/folder.ts";
import { start, whet } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet train ü-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const row = (i: number) => ({
  messages: [{ role: "user", content: `count ${i}` }, {
    role: "assistant",
    content: `{"n":${i}}`,
  }],
});
const jsonl = (rows: readonly unknown[]) => rows.map((r) => JSON.stringify(r) + "\n").join("");
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const basic = ["train", "sft", "-m", "model", "-d", "rows.jsonl", "--val", "val.jsonl"];
const sft = [...basic, "--batch", "4", "--rank", "4", "--iters", "6", "--lr", "1e-3"];
type Event = Record<string, unknown> & { event: string };
const events = (out: string): Event[] => out.trim().split("\n").map((line) => JSON.parse(line));

beforeAll(() => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  writeFileSync(at("rows.jsonl"), jsonl(numbers(0, 12).map(row)));
  writeFileSync(at("val.jsonl"), jsonl(numbers(12, 16).map(row)));
});

describe("on a base in NF4", () => {
  const nf4 = ["--quant", "nf4", "--double-quant"];

  test("a run trains, says so, and is measured on the same base", async () => {
    const argv = [...sft, "-o", "q", ...nf4, "--json"];
    const { code, out, err } = await whet(argv, folder);
    expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    expect(readRun(at("q")).manifest.settings).toMatchObject({ quant: "nf4", double_quant: true });
    const losses = events(out).filter(({ event }) => event === "step").map(({ loss }) => loss);
    expect(losses).toHaveLength(6);
    expect(losses.at(-1)).toBeLessThan(losses[0] as number);

    // The adapter that was kept is measured as it was during the run, on that base and no other.
    const { best } = readRun(at("q")).manifest;
    const perplexity = async (...flags: string[]) => {
      const asked = ["eval", "-m", "model", "-a", "q", "-d", "val.jsonl", "--max-tokens", "1"];
      const { code, out, err } = await whet([...asked, "--json", ...flags], folder);
      expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
      warned = events(out).find(({ code }) => code === "WH0309");
      return JSON.parse(out.trimEnd().split("\n").at(-1)!).perplexity as number;
    };
    let warned: Record<string, unknown> | undefined;
    const far = (p: number) => Math.abs(Math.log(p) - best!.val_loss);
    expect(far(await perplexity(...nf4))).toBeLessThan(1e-4);
    expect(warned).toBeUndefined();
    expect(far(await perplexity("--quant", "nf4"))).toBeGreaterThan(1e-4);
    expect(warned).toMatchObject({ code: "WH0309", fix: "add --quant nf4 --double-quant" });
    expect(far(await perplexity())).toBeGreaterThan(1e-3);
  });

  test("so does one on a base in 8 bits, nearer to the base as it was", async () => {
    const first = async (...quant: string[]) => {
      const { code, out, err } = await whet(
        [...sft, "-o", quant.at(-1)!, ...quant, "--json"],
        folder,
      );
      expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
      return events(out).find(({ event }) => event === "step")!.loss as number;
    };
    const [base, int8, four] = [
      await first("--quant", "none"),
      await first("--quant", "int8"),
      events((await whet([...sft, "-o", "four", ...nf4, "--json"], folder)).out)
        .find(({ event }) => event === "step")!.loss as number,
    ];
    expect(int8).not.toBe(base);
    expect(Math.abs(int8 - base)).toBeLessThan(Math.abs(four - base) / 2);
  });

  test("is not resumed on another base, nor trained as a whole", async () => {
    const other = await whet([...sft.slice(0, -4), "--iters", "9", "-o", "q", "--resume"], folder);
    expect(other.code).toBe(2);
    expect(other.err).toContain('quant: "nf4" -> "none"');
    const full = await whet([...sft, "-o", "f", "--full", "--quant", "nf4"], folder);
    expect(full.code).toBe(2);
    expect(full.err).toContain("--full: trains all weights, and --quant nf4");
  });

  test("needs less memory", async () => {
    const weights = async (...flags: string[]) => {
      const { out } = await whet(["plan", "-m", "model", "--json", ...flags], folder);
      return JSON.parse(out).bytes.weights as number;
    };
    // Half of the built-in model is its embedding, which stays as it is.
    expect(await weights(...nf4)).toBeLessThan(0.6 * await weights());
  });
});

describe("a run", () => {
  test("writes events, the adapter and everything that explains it", async () => {
    const argv = [...sft, "-o", "whole", "--samples", "1", "--json"];
    const { code, out, err } = await whet(argv, folder);
    expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    const all = events(out);
    expect(all.every(({ v }) => v === 1)).toBe(true);
    const counts = Object.groupBy(all, ({ event }) => event);
    expect(Object.keys(counts).sort()).toEqual(
      ["checkpoint", "end", "epoch", "eval", "sample", "start", "step", "warn"],
    );
    expect(counts.warn).toMatchObject([{ code: "WH0310" }]); // 4 rows are few to measure on
    const [base, ...later] = counts.eval!;
    expect(base).toMatchObject({ step: 0, baseline: true, best: false });
    expect(later.every((e) => e.baseline === false && (e.ms as number) > 0)).toBe(true);
    expect(counts.sample!.map(({ step }) => step)).toEqual(counts.eval!.map(({ step }) => step));
    expect(readdirSync(at("whole/predictions")).sort()).toEqual(
      counts.eval!.map(({ step }) => `step-${step}.jsonl`).sort(),
    );
    expect(all[0]).toMatchObject({
      event: "start",
      steps: 6,
      data: { rows: 12 },
      settings: { rank: 4, alpha: 8, lr: 1e-3, scheduler: "cosine" },
    });
    expect(counts.step).toHaveLength(6);
    for (const key of ["step", "epoch", "loss", "lr", "grad_norm", "tok_s", "mem_bytes", "ms"]) {
      expect(counts.step![0]![key]).toBeNumber();
    }
    expect(all.at(-1)).toMatchObject({ event: "end", status: "finished", adapter_path: "whole" });
    for (
      const name of [
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "training_args.json",
        "run.json",
        "metrics.jsonl",
        "report.html",
        "report.md",
        "README.md",
        "checkpoints",
      ]
    ) expect([name, existsSync(join(folder, "whole", name))]).toEqual([name, true]);
    const record = readRun(at("whole"));
    expect(record.manifest.status).toBe("finished");
    expect(record.steps).toHaveLength(6);
    expect(record.samples.length).toBeGreaterThan(0);
    const log = events(readFileSync(at("whole/metrics.jsonl"), "utf8"));
    // What a step did to each module is for the report: too much to print.
    const printed = log.filter(({ event }) => event !== "layers");
    expect(printed.map(({ event }) => event)).toEqual(all.map(({ event }) => event));
    expect(record.layers.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("Ctrl-C finishes the step and writes a checkpoint; resuming gives the same bytes", async () => {
    const child = start([...sft, "-o", "halves", "--json"], folder);
    child.stdin.end();
    let out = "";
    let told = false;
    for await (const chunk of child.stdout) {
      out += new TextDecoder().decode(chunk);
      if (!told && out.includes('"step":2,')) told = child.kill("SIGINT") === undefined;
      if (out.includes('"event":"end"')) break;
    }
    expect(await child.exited).toBe(130);
    expect(events(out).at(-1)).toMatchObject({ event: "end", status: "stopped" });
    const done = events(out).filter(({ event }) => event === "step").length;
    expect(done).toBeWithin(2, 6);
    expect(existsSync(at(`halves/checkpoints/step-${done}`))).toBe(true);

    const { code, out: rest } = await whet([...sft, "-o", "halves", "--resume", "--json"], folder);
    expect(code).toBe(0);
    expect(events(rest)[0]).toMatchObject({ event: "start", resumed_from: done });
    const bytes = (run: string) => readFileSync(at(`${run}/adapter_model.safetensors`));
    expect(bytes("halves").equals(bytes("whole"))).toBe(true);
    expect(readRun(at("halves")).steps.map(({ loss }) => loss)).toEqual(
      readRun(at("whole")).steps.map(({ loss }) => loss),
    );
  });

  test("a reader of stdout that goes away does not end it", async () => {
    const child = start([...sft, "-o", "unread", "--json"], folder);
    child.stdin.end();
    await child.stdout.cancel();
    const [err, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    expect(readRun(at("unread")).manifest.status).toBe("finished");
  });

  test("is not written over, and not resumed with other rows or settings", async () => {
    // One after the other: a run folder is locked while it is looked at.
    const over = await whet([...sft, "-o", "whole"], folder);
    const longer = [...sft, "-o", "whole", "--resume", "--iters", "8"];
    const settings = await whet([...longer, "--lr", "1e-4", "--compute", "f16"], folder);
    const rows = await whet([...longer, "-d", "val.jsonl"], folder);
    const over2 = await whet([...sft, "-o", "whole", "--resume"], folder);
    expect([over.code, settings.code, rows.code, over2.code]).toEqual([2, 2, 3, 2]);
    expect(over.err).toContain("whole holds a run already");
    expect(settings.err).toContain("lr: 0.001 -> 0.0001");
    expect(settings.err).toContain('compute: "f32" -> "f16"');
    expect(rows.err).toContain("not those that the run was begun with");
    expect(over2.err).toContain("has all 6 steps");
  });
});

describe("what was trained", () => {
  test("answers, is scored, measured and exported", async () => {
    const [ids, text, scored, measured] = await Promise.all([
      whet(
        ["infer", "-m", "model", "-a", "whole", "--chat", "--max-tokens", "6", "--json"],
        folder,
        {
          stdin: '{"prompt":"count 3"}\n\n{"ids":[5,6,7]}\n',
        },
      ),
      whet(["tokenize", "-m", "model", "--json"], folder, { stdin: '"count 3"\n' }),
      whet(["score", "-m", "model", "-a", "whole", "--json"], folder, {
        stdin: '{"text":"count 3"}\n',
      }),
      whet(
        ["eval", "-m", "model", "-a", "whole", "-d", "val.jsonl", "--max-tokens", "8", "--json"],
        folder,
      ),
    ]);
    const answers = events(ids.out);
    expect(answers).toHaveLength(2);
    for (const answer of answers) {
      expect(Object.keys(answer).sort()).toEqual(["finish_reason", "ids", "text"]);
      expect((answer.ids as unknown as number[]).length).toBeLessThanOrEqual(6);
    }
    const tokens = JSON.parse(text.out).ids;
    const { logprobs, argmax } = JSON.parse(scored.out);
    expect([logprobs.length, argmax.length]).toEqual([tokens.length - 1, tokens.length]);
    expect(logprobs.every((p: number) => p < 0)).toBe(true);
    // Before the result there is a warning: these rows chose the weights.
    const [warning, report] = events(measured.out) as Record<string, unknown>[];
    expect(warning).toMatchObject({ event: "warn", code: "WH0307" });
    expect(report).toMatchObject({ n: 4 });
    for (const key of ["exact_match", "json_valid", "perplexity"]) {
      expect(report![key]).toBeNumber();
    }
    expect(report!.perplexity).toBeCloseTo(
      Math.exp(readRun(at("whole")).manifest.best!.val_loss),
      2,
    );
  });

  test("as GGUF it gives the same tokens", async () => {
    const { code, out, err } = await whet(
      ["export", "whole", "-o", "it.gguf", "--gguf", "--quant", "f32", "--verify", "--json"],
      folder,
    );
    expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    expect(JSON.parse(out.trim().split("\n").at(-1)!)).toMatchObject({
      form: "gguf",
      path: "it.gguf",
    });
    const ask = ["--max-tokens", "12", "--json", "--chat", "-p", "count 7"];
    const [file, adapter] = await Promise.all([
      whet(["infer", "-m", "it.gguf", ...ask], folder),
      whet(["infer", "-m", "model", "-a", "whole", ...ask], folder),
    ]);
    expect(file.out).toBe(adapter.out);
  });

  test("an adapter is refused on a base it was not trained on, of the same shape", async () => {
    cpSync(at("model"), at("other"), { recursive: true });
    const path = at("other/model.safetensors");
    const bytes = readFileSync(path);
    for (let i = bytes.length - 20_000; i < bytes.length; i += 2) bytes[i]! ^= 1;
    writeFileSync(path, bytes);
    const { code, err } = await whet(["infer", "-m", "other", "-a", "whole", "-p", "x"], folder);
    expect(code).toBe(3);
    expect(err).toContain("was trained on another model");
  });
});

describe("bad input", () => {
  const cases: [name: string, argv: string[], stdin: string, code: number, err: string[]][] = [
    ["broken rows", ["-d", "-"], '{"prompt":"a"}\nnope\n', 3, ["line 1", "line 2"]],
    ["no rows", ["-d", "-"], "", 3, ["Cannot train with empty dataset"]],
    ["over-long rows", ["--max-seq", "8"], "", 3, ["12 of 12 rows", "line 12", "more than the 8"]],
    ["an unknown target", ["--target", "q_prj"], "", 2, ["q_prj", "q_proj"]],
    ["no such model", ["-m", "nowhere"], "", 3, ["nowhere"]],
    ["an output that cannot be", ["-o", "rows.jsonl/run"], "", 12, ["rows.jsonl/run"]],
    ["an output that is a file", ["-o", "rows.jsonl"], "", 2, ["rows.jsonl is a file"]],
    ["resuming what is not there", ["--resume", "nowhere"], "", 2, ["nowhere holds no checkpoint"]],
  ];
  for (const [name, argv, stdin, code, texts] of cases) {
    test(name, async () => {
      const ran = await whet([...sft, "-o", "never", ...argv], folder, { stdin });
      expect([ran.code, ran.err]).toEqual([code, ran.err]);
      for (const text of texts) expect(ran.err).toContain(text);
      expect(existsSync(at("never/run.json"))).toBe(false);
      expect(ran.err).not.toContain("bug");
    });
  }

  test("no output folder, and a dry run that needs none", async () => {
    const [none, dry] = await Promise.all([
      whet(sft, folder),
      whet([...sft, "--dry-run", "--json"], folder),
    ]);
    expect(none.code).toBe(2);
    expect(none.err).toContain("add -o DIR");
    const plan = JSON.parse(dry.out);
    expect(Object.keys(plan.bytes)).toEqual(
      ["weights", "adapter", "gradients", "optimizer", "activations", "scratch", "total"],
    );
    expect(plan).toMatchObject({ steps: 6, fits: true });
  });
});
