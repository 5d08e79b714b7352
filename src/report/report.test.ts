import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { Fail } from "../base/fail.ts";
import { modelCard } from "./card.ts";
import { diagnose, smooth } from "./diagnose.ts";
import { readRun, RunFolder } from "./folder.ts";
import { reportHtml } from "./html.ts";
import { gradientsByLayer, idleModules, movementByModule } from "./layers.ts";
import { hubIdOf, licenceOf } from "./origin.ts";
import { reportMarkdown } from "./markdown.ts";
import {
  byQuestion,
  type EvalPoint,
  type LayerPoint,
  type Manifest,
  recordOf,
  type RunEvent,
  type RunRecord,
  type Sample,
} from "./record.ts";
import { lineChart, logTicks, thin, ticks } from "./svg.ts";

const manifest: Manifest = {
  format: 1,
  kind: "sft",
  name: "garden",
  status: "finished",
  started: "2026-01-02T03:04:05.678Z",
  seconds: 125,
  whet: { version: "0.1.0", commit: "abc" },
  device: { adapter: "A <GPU>", driver: "1.2", backend: "vulkan" },
  settings: {
    lr: 2e-4,
    rank: 16,
    target: ["q_proj", "v_proj"],
    max_grad_norm: 1,
    seed: 42,
    warmup: 0.1,
  },
  model: { path: "./models/micro", type: "llama", parameters: 1_000_000, trainable: 5000 },
  data: {
    path: "rows.jsonl",
    rows: 120,
    tokens: 9000,
    supervised_tokens: 3000,
    sha256: "0".repeat(64),
  },
  validation: { path: "val.jsonl", rows: 40 },
  steps: 60,
  before: { exact_match: 0.02, json_valid: 0.4 },
  after: { exact_match: 0.9, json_valid: 1 },
};

/** A run whose loss follows `loss(i)`, i from 0. */
function run(
  loss: (i: number) => number,
  evals: readonly number[] = [],
  steps = 60,
  norm: (i: number) => number = () => 0.5,
): RunRecord {
  const events: RunEvent[] = [{ event: "start" }];
  for (let i = 0; i < steps; i++) {
    events.push({
      event: "step",
      step: i + 1,
      epoch: (i + 1) / 20,
      loss: loss(i),
      lr: 2e-4 * (1 - i / steps),
      grad_norm: norm(i),
      tok_s: 1000,
      mem_bytes: 2 ** 28,
      ms: 50,
    });
  }
  evals.forEach((val_loss, i) => {
    const step = Math.round(((i + 1) * steps) / evals.length);
    events.push({ event: "eval", step, epoch: i + 1, val_loss, ppl: Math.exp(val_loss) });
  });
  return recordOf(manifest, events);
}
const titles = (record: RunRecord) => diagnose(record).map((f) => f.title).join(" | ");

describe("diagnosis", () => {
  test("a curve that levels off has converged", () => {
    expect(titles(run((i) => 0.3 + 3 * Math.exp(-i / 5), [0.5, 0.4, 0.39]))).toMatch(
      /Converged.*Best at epoch 3/,
    );
  });
  test("a curve that still falls says so", () => {
    expect(titles(run((i) => 3 - i / 30))).toContain("fell to the end");
  });
  test("a rising curve", () => expect(titles(run((i) => 1 + i / 30))).toContain("The loss rose"));
  test("an oscillating curve", () => {
    expect(titles(run((i) => 2 + (i % 2 ? 0.8 : -0.8)))).toContain("oscillates");
  });
  test("over-fitting names the epoch to stop at", () => {
    const found = diagnose(run((i) => 3 * Math.exp(-i / 10), [1, 0.6, 0.9]));
    expect(found.find((f) => f.level === "warning")?.title).toBe("Over-fitting after epoch 2");
    expect(found.find((f) => f.level === "warning")?.text).toContain("--epochs 2");
  });
  test("gradients that vanish, explode, are clipped, are not finite", () => {
    const flat = (i: number) => 3 - i / 30;
    expect(titles(run(flat, [], 60, (i) => Math.exp(-i / 4)))).toContain("vanished");
    expect(titles(run(flat, [], 60, (i) => 0.01 * Math.exp(i / 5)))).toContain("exploded");
    expect(titles(run(flat, [], 60, () => 3))).toContain("100 % of the steps were clipped");
    expect(titles(run(flat, [], 60, (i) => i === 7 ? NaN : 0.5))).toContain(
      "1 steps were not applied",
    );
  });
  test("a spike is found and named", () => {
    const found = diagnose(run((i) => i === 40 ? 9 : 2 - i / 60 + (i % 3) * 0.01));
    expect(found.find((f) => f.title === "A spike in the loss")?.text).toContain("step 41 (9)");
    expect(titles(run((i) => 2 - i / 60 + (i % 3) * 0.01))).not.toContain("spike");
  });
  test("smoothing starts at the first value, passes over NaN, and keeps a constant", () => {
    expect(smooth([5, 5, 5], 10).map((v) => Math.round(v * 1e9) / 1e9)).toEqual([5, 5, 5]);
    expect(smooth([4, NaN, 4], 3)[1]).toBeCloseTo(4);
    expect(smooth([1, 3], 1)[1]).toBeGreaterThan(2);
  });
});

describe("charts", () => {
  test("ticks are round and inside", () => {
    expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(0.013, 0.047)).toEqual([0.02, 0.03, 0.04]);
    expect(ticks(5, 5)).toEqual([5]);
    expect(ticks(-3, 1200, 8)).toEqual([0, 200, 400, 600, 800, 1000, 1200]);
  });
  test("thinning keeps the spike", () => {
    const points = Array.from({ length: 50_000 }, (_, i) => [i, i === 31_234 ? 100 : 1] as const);
    const kept = thin(points);
    expect(kept.length).toBeLessThanOrEqual(600);
    expect(kept.some(([, y]) => y === 100)).toBe(true);
    expect(kept.map(([x]) => x)).toEqual([...kept.map(([x]) => x)].sort((a, b) => a - b));
  });
  test("points lie inside the frame; one point, equal points and none can be drawn", () => {
    const draw = (points: (readonly [number, number])[]) =>
      lineChart({ title: "t", x: "step", series: [{ name: "s", points, look: "line", color: 1 }] });
    const svg = draw([[1, 5], [2, -3], [3, 1e6]]);
    const [, d] = /d="([^"]+)"/.exec(svg)!;
    for (const [x, y] of d!.slice(1).split("L").map((p) => p.split(" ").map(Number))) {
      expect(x).toBeWithin(62, 1067);
      expect(y).toBeWithin(11, 217);
    }
    expect(draw([[1, 5]])).toContain("circle");
    expect(draw([[1, 5], [2, 5]])).not.toContain("NaN");
    expect(draw([[1, NaN]])).toContain("No points");
  });
});

describe("the page", () => {
  const record = run((i) => 0.3 + 3 * Math.exp(-i / 9), [0.8, 0.5]);
  const attack = `<script>alert(1)</script>"'&`;
  const page = reportHtml({
    ...record,
    samples: [{ step: 60, prompt: attack, output: "a", expected: "b" }],
  });

  test("is one file that fetches and runs nothing", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|url\(|@import|\son\w+=|https?:/i);
    expect(page).not.toContain(' style="');
    const [, sheet] = /<style>([\s\S]*?)<\/style>/.exec(page)!;
    expect(page).toContain(`'sha256-${createHash("sha256").update(sheet!).digest("base64")}'`);
  });
  test("shows what matters, and nothing undefined", () => {
    for (
      const text of ["garden", "finished", "exact match", "0.02", "0.9", "q_proj, v_proj", "2e-4"]
    ) {
      expect(page).toContain(text);
    }
    expect(page).toContain("A &#60;GPU&#62;");
    expect(page).not.toMatch(/undefined|NaN|\[object/);
    expect(page.match(/<svg viewBox="0 0 (1080|530)/g)).toHaveLength(3);
  });
  test("every tag that is opened is closed", () => {
    const open: string[] = [];
    for (const [, slash, name, rest] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)([^>]*)>/gi)) {
      if (["meta", "line", "circle", "rect", "path"].includes(name!) || rest!.endsWith("/")) {
        if (name !== "path") continue;
        continue;
      }
      if (!slash) open.push(name!);
      else expect(open.pop()).toBe(name!);
    }
    expect(open).toEqual([]);
  });
  test("a run without steps, evaluations or measures has a page and a card too", () => {
    const bare: Manifest = {
      ...manifest,
      status: "failed",
      validation: undefined,
      before: undefined,
      after: undefined,
    };
    const empty = recordOf(bare, []);
    expect(reportHtml(empty)).toContain("No step was made");
    expect(reportHtml(empty)).not.toMatch(/undefined|NaN/);
    expect(modelCard(empty)).toContain("Nothing was measured");
  });
});

test("the model card has a header that YAML reads and no holes", () => {
  const card = modelCard(run((i) => 3 - i / 30, [0.8, 0.5]));
  const [, head, body] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(card)!;
  expect(parse(head!)).toEqual({
    library_name: "peft",
    pipeline_tag: "text-generation",
    tags: ["lora", "sft", "whet"],
  });
  expect(body).not.toMatch(/undefined|NaN|\[object|\| [a-z_ ]+ \| *\|$/m);
  expect(body).toContain("| exact_match | 0.02 | 0.9 |");
  expect(body).toContain("**0.5**");
  expect(body).toContain("seed 42");
  expect(body).toContain("5,000 of 1,000,000 (0.5 %)");
});

test("the model card names what the Hub knows, the licence, versions and exported files", () => {
  const record = run((i) => 3 - i / 30, [0.8, 0.5]);
  const exports = [
    { file: "a.gguf", format: "q8_0", bytes: 2 ** 20, sha256: "ab", at: "2026-01-03T00:00:00Z" },
    {
      file: "b.gguf",
      format: "q4_k_m",
      bytes: 2 ** 19,
      imatrix: "m.imatrix",
      drift: { kl_mean: 0.03, same_top: 0.96, places: 640, passed: true },
      at: "2026-01-03T00:00:00Z",
    },
  ];
  const model = { ...record.manifest.model, id: "org/name", license: "apache-2.0" };
  const whet = { ...record.manifest.whet, bun: "1.4.5" };
  const card = modelCard({ ...record, exports, manifest: { ...record.manifest, model, whet } });
  const [, head, body] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(card)!;
  expect(parse(head!)).toMatchObject({ base_model: "org/name", license: "apache-2.0" });
  expect(body).toContain("| licence of the base model | apache-2.0 |");
  expect(body).toContain(
    "whet 0.1.0 (abc), Bun 1.4.5, on A <GPU> (driver 1.2), started 2026-01-02",
  );
  expect(body).toContain("| `a.gguf` | q8_0 | 1.00 MiB | not measured |  |");
  expect(body).toContain("| `b.gguf` | q4_k_m, by `m.imatrix` | 512 KiB | 0.03 | 96 % |");
  expect(body).toContain("sha256 of `a.gguf`: `ab`");
});

test("where a model comes from: the Hub's cache, and the licence its card names", () => {
  const dir = mkdtempSync(join(tmpdir(), "whet-origin-"));
  expect(hubIdOf("/x/hub/models--org--a.b-1B--x/snapshots/abc")).toBe("org/a.b-1B--x");
  expect(hubIdOf("models/a")).toBeUndefined();
  expect(licenceOf(dir)).toBeUndefined();
  const cards: [string, string | undefined][] = [
    ["---\ntags:\n- x\nlicense: apache-2.0\n---\n# A\n", "apache-2.0"],
    ["---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2"],
    ["# A\nlicense: mit\n", undefined],
  ];
  for (const [text, licence] of cards) {
    writeFileSync(join(dir, "README.md"), text);
    expect([text, licenceOf(dir)]).toEqual([text, licence]);
  }
  rmSync(dir, { recursive: true });
});

test("a resumed run's repeated steps replace the first ones", () => {
  const step = (n: number, loss: number) => ({ event: "step", step: n, epoch: 1, loss });
  const record = recordOf(manifest, [
    { event: "start" },
    step(1, 1),
    step(2, 2),
    step(3, 3),
    { event: "start", resumed_from: 2 },
    step(3, 33),
  ]);
  expect(record.steps.map((s) => s.loss)).toEqual([1, 2, 33]);
});

test("of a run that was begun anew, what was measured before its first step stands once", () => {
  const baseline = { event: "eval", step: 0, epoch: 0, val_loss: 4, ppl: 55, baseline: true };
  const record = recordOf(manifest, [{ event: "start" }, baseline, { event: "start" }, baseline]);
  expect(record.evals).toHaveLength(1);
});

describe("the folder", () => {
  const root = mkdtempSync(join(tmpdir(), "whet-report-"));
  afterAll(() => rmSync(root, { recursive: true }));

  test("is written as it happens and read back", async () => {
    const path = join(root, "run with space");
    const folder = await RunFolder.open(path, { ...manifest, status: "running" });
    folder.event("start", {});
    folder.event("step", {
      step: 1,
      epoch: 1,
      loss: 2.5,
      lr: 1e-4,
      grad_norm: NaN,
      tok_s: 1,
      mem_bytes: 1,
      ms: 1,
    });
    const live = readRun(path);
    expect(live.manifest.status).toBe("running");
    expect(live.steps).toHaveLength(1);
    expect(live.steps[0]!.grad_norm).toBeNaN();
    appendFileSync(join(path, "metrics.jsonl"), '{"event":"step","st');
    expect(readRun(path).steps).toHaveLength(1);
    const record = await folder.finish({ status: "finished", seconds: 3 });
    expect(record.manifest).toMatchObject({ status: "finished", seconds: 3, name: "garden" });
    expect(JSON.parse(readFileSync(join(path, "training_args.json"), "utf8"))).toMatchObject({
      learning_rate: 2e-4,
      max_steps: 60,
      warmup_ratio: 0.1,
      warmup_steps: 6,
    });
    expect(readFileSync(join(path, "report.html"), "utf8")).toContain("2.5");
    expect(readFileSync(join(path, "README.md"), "utf8")).toContain("# garden");
  });

  test("what is no run, or a newer one, is refused", () => {
    const caught = (path: string) => {
      try {
        readRun(path);
      } catch (error) {
        return error as Fail;
      }
    };
    expect(caught(root)?.exit).toBe(3);
    writeFileSync(join(root, "run.json"), '{"format":2}');
    expect(caught(root)?.message).toContain("format 2");
    writeFileSync(join(root, "run.json"), '{"form');
    expect(caught(root)?.exit).toBe(3);
  });
});

test("evaluation points are typed as they are written", () => {
  const point: EvalPoint = { step: 1, epoch: 1, val_loss: 1, ppl: Math.E };
  expect(recordOf(manifest, [{ event: "eval", v: 1, ...point }]).evals).toEqual([point]);
});

/** Two layers of two modules; layer 1's v_proj never has a gradient. */
const looked: LayerPoint[] = [1, 30, 60].map((step, i) => ({
  step,
  modules: [0, 1].flatMap((l) =>
    ["q_proj", "v_proj"].map((k) => `model.layers.${l}.self_attn.${k}`)
  ),
  gradient: [3 / (i + 1), 4 / (i + 1), 1, 0],
  update: [0.02, 0.04, 0.02, 0],
  weight: [10, 10, 10, 10],
}));

describe("where it learns", () => {
  test("norms of a layer are those of its modules together", () => {
    const field = gradientsByLayer(looked);
    expect(field).toEqual({
      rows: ["0", "1"],
      columns: ["1", "30", "60"],
      values: [[5, 2.5, 5 / 3], [1, 1, 1]],
    });
  });

  test("movement is relative to what moves", () => {
    const { rows, columns, values } = movementByModule(looked);
    expect([rows, columns]).toEqual([["q_proj", "v_proj"], ["0", "1"]]);
    expect(values[0]![0]).toBeCloseTo(0.002, 12);
    expect(values[1]).toEqual([expect.closeTo(0.004, 12), 0]);
  });

  test("a module that nothing reaches is named", () => {
    const record = { ...run((i) => 3 / (i + 1)), layers: looked };
    expect(idleModules(looked)).toEqual(["model.layers.1.self_attn.v_proj"]);
    const finding = diagnose(record).find((f) => f.title.includes("never had a gradient"))!;
    expect(finding.text).toContain("model.layers.1.self_attn.v_proj");
    expect(reportHtml(record)).toContain('class="cell"');
    expect(reportMarkdown(record)).toContain("| 0 | 5 | 1.667 |");
  });

  test("a resumed run forgets what it repeats", () => {
    const events = looked.map((l) => ({ event: "layers", v: 1, ...l }));
    const all = [...events, { event: "start", resumed_from: 30 }];
    expect(recordOf(manifest, all).layers.map((l) => l.step)).toEqual([1, 30]);
  });
});

test("steps that stalled are told with what they cost", () => {
  const record = run(() => 1);
  const steps = record.steps.map((s, i) => ({ ...s, ms: i === 40 ? 30_000 : 500 }));
  const [stall] = diagnose({ ...record, steps }).filter((f) => f.title.includes("stalled"));
  expect(stall!.text).toContain("30 s where 0.5 s is usual");
  expect(diagnose(record).some((f) => f.title.includes("stalled"))).toBe(false);
});

test("answers are told through time, those that did not change once", () => {
  const sample = (step: number, prompt: string, output: string): Sample => ({
    step,
    prompt,
    output,
    expected: "b",
  });
  const samples = [
    sample(1, "x", "a"),
    sample(1, "y", "b"),
    sample(2, "x", "b"),
    sample(2, "y", "b"),
  ];
  expect(byQuestion(samples).map((all) => all.map((s) => s.output))).toEqual([["a", "b"], ["b"]]);
  const html = reportHtml({ ...run(() => 1), samples });
  expect(html).toContain("the answer before");
  expect(html).toContain("Answers after step 2");
});

test("a loss that falls through decades has a logarithmic axis", () => {
  expect(reportHtml(run((i) => 3 * 0.9 ** i))).toContain("Loss (logarithmic)");
  expect(reportHtml(run((i) => 3 - i / 60))).not.toContain("logarithmic");
  expect(logTicks(0.002, 3)).toEqual([0.01, 0.1, 1]);
  expect(logTicks(0.9, 12)).toEqual([1, 2, 5, 10]);
});

test("the Markdown twin tells what the page tells, and its text is text", () => {
  const record = run((i) => 3 / (i + 1), [1.5, 1.2]);
  const samples = [{ step: 60, prompt: "# hi | <b>", output: "```\nno", expected: "yes" }];
  const text = reportMarkdown({ ...record, samples, warnings: ["a | b"] });
  expect(text).toContain("# garden: finished");
  expect(text).toContain("| best validation loss, perplexity");
  expect(text).toContain("    # hi | <b>"); // indented: code, not a heading
  expect(text).toContain("a \\| b");
  expect(text).toContain("| exact match | 0.02 | 0.9 |");
  for (const [key] of Object.entries(manifest.settings)) expect(text).toContain(key.split("_")[0]!);
  for (const line of text.split("\n").filter((l) => l.startsWith("|"))) {
    expect(line.endsWith("|")).toBe(true);
  }
});
