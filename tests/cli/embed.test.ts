// Embeddings from the command line: a small encoder learns which texts belong together, and is used.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAdapter } from "../../src/formats/peft.ts";
import { tinyModel } from "../tiny.ts";
import { whet } from "./inside.ts";
import { whet as started } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet embed ü-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const TOPICS = [
  ["carrot", "turnip", "onion", "leek"],
  ["violin", "trumpet", "cello", "flute"],
  ["hammer", "chisel", "pliers", "saw"],
  ["sparrow", "heron", "finch", "owl"],
];
let state = 1;
const draw = (n: number) => (state = (state * 48271) % 2147483647) % n;
const phrase = (topic: number) =>
  Array.from({ length: 2 + draw(3) }, () => TOPICS[topic]![draw(4)]).join(" ");
function triplet() {
  const topic = draw(4), other = (topic + 1 + draw(3)) % 4;
  return { anchor: phrase(topic), positive: phrase(topic), negative: phrase(other) };
}
const jsonl = (rows: readonly unknown[]) => rows.map((r) => JSON.stringify(r) + "\n").join("");
type Event = Record<string, unknown> & { event: string };
const events = (out: string): Event[] => out.trim().split("\n").map((line) => JSON.parse(line));
const train = ["train", "embed", "-m", "model", "-d", "rows.jsonl", "--val", "val.jsonl"];

beforeAll(async () => {
  renameSync(await tinyModel("bert"), at("model"));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    cpSync(join(import.meta.dir, "../../models/micro", name), join(at("model"), name));
  }
  writeFileSync(at("rows.jsonl"), jsonl(Array.from({ length: 96 }, triplet)));
  const val = new Map(Array.from({ length: 30 }, triplet).map((row) => [row.anchor, row]));
  writeFileSync(at("val.jsonl"), jsonl([...val.values()]));
});

/** How near two of the embeddings that whet embed gives are. */
async function cosine(use: readonly string[], a: string, b: string): Promise<number> {
  const stdin = jsonl([{ text: a }, { text: b }]);
  const { out, code } = await started(["embed", ...use, "--json"], folder, { stdin });
  expect(code).toBe(0);
  const [x, y] = out.trim().split("\n").map((line) => JSON.parse(line).embedding as number[]);
  expect(Math.hypot(...x!)).toBeCloseTo(1, 5);
  return x!.reduce((sum, v, i) => sum + v * y![i]!, 0);
}

describe("training", () => {
  for (const loss of ["triplet", "mnr", "contrastive"]) {
    test(`--full with --loss ${loss} learns; the folder embeds by itself`, async () => {
      const out = `full-${loss}`;
      const argv = [...train, "-o", out, "--full", "--loss", loss, "--lr", "2e-3", "--epochs", "3"];
      const ran = await whet([...argv, "--json"], folder);
      expect({ code: ran.code, err: ran.code ? ran.err : "" }).toEqual({ code: 0, err: "" });
      const evals = events(ran.out).filter(({ event }) => event === "eval");
      const [first, last] = [evals[0]!, evals.at(-1)!];
      const losses = events(ran.out).filter(({ event }) => event === "step").map((e) => e.loss);
      expect(losses.at(-1) as number).toBeLessThan(0.8 * (losses[0] as number));
      expect(last.accuracy as number).toBeGreaterThan(0.9);
      expect(last.accuracy as number).toBeGreaterThan(first.accuracy as number);
      for (const name of ["recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10"]) {
        expect(last[name] as number).toBeWithin(0, 1.000001);
      }
      expect(last).not.toHaveProperty("ppl");
      expect(JSON.parse(readFileSync(join(at(out), "modules.json"), "utf8"))).toHaveLength(3);
      const near = await cosine(["-m", out], "carrot leek", "onion turnip");
      expect(near).toBeGreaterThan(await cosine(["-m", out], "carrot leek", "heron finch") + 0.3);
    });
  }

  test("an adapter: resumed and repeated to the same bytes, read by others", async () => {
    const argv = [...train, "--loss", "mnr", "--save-every", "3", "--scheduler", "constant"];
    const run = async (...more: string[]) => {
      const { code, err } = await whet([...argv, ...more], folder);
      expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
    };
    await run("-o", "a", "--iters", "6", "--warmup", "2");
    await run("-o", "b", "--iters", "3", "--warmup", "2");
    await run("-o", "b", "--iters", "6", "--warmup", "2", "--resume");
    const again = await whet(["train", "--config", "a/run.json", "-o", "c"], folder);
    expect(again.code).toBe(0);
    const weights = (out: string) => readFileSync(join(at(out), "adapter_model.safetensors"));
    expect(weights("b").equals(weights("a"))).toBe(true);
    expect(weights("c").equals(weights("a"))).toBe(true);
    const { config, tensors } = await readAdapter(at("a"));
    expect(config).toMatchObject({
      task_type: "FEATURE_EXTRACTION",
      target_modules: ["query", "value"],
    });
    expect([...tensors.keys()]).toContain("encoder.layer.0.attention.self.query.lora_A.weight");
    expect(existsSync(join(at("a"), "1_Pooling/config.json"))).toBe(true);
    expect(readFileSync(join(at("a"), "README.md"), "utf8")).toContain("whet embed -m model -a .");
    expect(await cosine(["-m", "model", "-a", "a"], "owl", "owl")).toBeCloseTo(1, 5);

    // whet eval finds what the training measured, of the base and of the weights that were kept.
    const evaluate = ["eval", "-m", "model", "-a", "a", "-d", "val.jsonl", "--baseline", "--json"];
    const measured = await whet([...evaluate, "--fail-under", "recall@10=1.0"], folder);
    const result = JSON.parse(measured.out.split("\n")[0]!);
    const evals = events(readFileSync(join(at("a"), "metrics.jsonl"), "utf8"))
      .filter(({ event }) => event === "eval");
    const kept = evals.findLast(({ best }) => best)!, base = evals.find((e) => e.baseline)!;
    for (const name of ["recall@1", "recall@5", "mrr@10", "ndcg@10", "accuracy"]) {
      expect(result[name]).toBeCloseTo(kept[name] as number, 6);
      expect(result.baseline[name]).toBeCloseTo(base[name] as number, 6);
    }
    expect(measured.code).toBe(result["recall@10"] < 1 ? 9 : 0);
    const html = await whet([...evaluate, "--html", "page.html"], folder);
    expect(html.err).toContain("--html is of answers, and val.jsonl holds rows for embeddings");
  });

  test("--dry-run says what it needs and writes nothing", async () => {
    const { code, out } = await whet([...train, "--dry-run", "-o", "dry"], folder);
    expect(code).toBe(0);
    expect(out).toContain("16 rows a step");
    expect(existsSync(at("dry"))).toBe(false);
  });
});

describe("what is refused", () => {
  const bad = (
    row: object,
  ) => (writeFileSync(at("bad.jsonl"), jsonl([triplet(), row])), "bad.jsonl");
  test("rows", async () => {
    const cases: [object, string][] = [
      [{ anchor: "a", positive: "b", negative: "b" }, "line 2: the positive equals the negative"],
      [
        { anchor: "a", positive: "b" },
        "line 2: there is no negative, and --loss triplet needs one",
      ],
      [{ anchor_ids: [1], positive_ids: [2], negative_ids: [9999] }, "line 2: id 9999 is outside"],
      [{ anchor: "a" }, "line 2: missing required fields positive"],
    ];
    for (const [row, said] of cases) {
      const argv = ["train", "embed", "-m", "model", "-d", bad(row), "-o", "no"];
      const { code, err } = await whet(argv, folder);
      expect({ code, err }).toEqual({ code: 3, err: expect.stringContaining(said) });
    }
    expect(existsSync(at("no"))).toBe(false);
  });
  test("settings", async () => {
    const cases: [string[], string][] = [
      [["--target", "q_proj"], "its linear layers are query, key, value, dense"],
      [["--loss", "mnr", "--accum", "2"], "does not add negatives"],
      [["--loss", "mnr", "--distance", "l2"], "l2 has no ranking"],
      [["--loss", "mnr", "--margin", "1"], "see --scale"],
      [["--loss", "mnr", "--micro-tokens", "64"], "does not fit in 64 token places"],
      [["--min-triplets", "1000"], "96 rows to train, expected 1000 or more"],
    ];
    for (const [more, said] of cases) {
      const { code, err } = await whet([...train, "-o", "no", ...more], folder);
      expect({ ok: code === 0, err }).toEqual({ ok: false, err: expect.stringContaining(said) });
    }
    expect(existsSync(at("no"))).toBe(false);
  });
  test("an encoder where tokens must be predicted", async () => {
    writeFileSync(at("sft.jsonl"), jsonl([{ prompt: "a", completion: "b", text: "a" }]));
    const argvs = [
      ["train", "sft", "-m", "model", "-d", "sft.jsonl", "-o", "no"],
      ["score", "-m", "model", "sft.jsonl"],
      ["infer", "-m", "model", "-p", "a"],
    ];
    const said = expect.stringContaining("whet train embed trains an encoder");
    for (const argv of argvs) {
      const { code, err } = await whet(argv, folder);
      expect({ code, err }).toEqual({ code: 3, err: said });
    }
  });
});

describe("whet embed", () => {
  test("ids and texts in order, pooled three ways, raw or not, a decoder too", async () => {
    const use = ["embed", "-m", "model", "--json"],
      stdin = jsonl([{ ids: [5, 6, 7] }, { text: "owl" }]);
    const made = new Set<string>();
    for (const pooling of ["mean", "cls", "last"]) {
      const { out } = await started([...use, "--pooling", pooling], folder, { stdin });
      const [first, second] = out.trim().split("\n").map((line) => JSON.parse(line).embedding);
      expect([first.length, second.length]).toEqual([64, 64]);
      made.add(out);
    }
    expect(made.size).toBe(3);
    cpSync(join(import.meta.dir, "../../models/micro"), at("decoder"), { recursive: true });
    const { out, code } = await started(["embed", "-m", "decoder", "--json"], folder, { stdin });
    expect(code).toBe(0);
    expect(out.trim().split("\n")).toHaveLength(2);
  });
  test("a prompt changes a text, and an unknown one is refused", async () => {
    const embed = async (...more: string[]) =>
      await started(["embed", "-m", "model", "--json", ...more], folder, {
        stdin: '{"text":"owl"}\n',
      });
    const [plain, prompted] = [await embed(), await embed("--prompt", "query: ")];
    expect(prompted.out).not.toBe(plain.out);
    const { code, err } = await embed("--prompt-name", "none");
    expect({ code, err }).toEqual({
      code: 2,
      err: expect.stringContaining("no prompt named none"),
    });
  });
});
