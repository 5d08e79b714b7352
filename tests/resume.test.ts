// What a run may be resumed with: nothing that would change its numbers, anything that would not.
import { afterAll, beforeAll, expect, setDefaultTimeout, setSystemTime, test } from "bun:test";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { Exit, Fail } from "../src/base/fail.ts";
import { sha256 } from "../src/base/sha256.ts";
import { readRun } from "../src/report/folder.ts";
import { fieldsOf } from "../src/settings/field.ts";
import { trainSettings } from "../src/settings/train.ts";
import { attempt, forget, type Outcome, weightsIn, workshop } from "./faults.ts";
import { sound } from "./faults_cases.ts";
import { interrupted, ways } from "./stops.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const gpu = test.skipIf(!device);
let dir = "";
let whole: Outcome;

beforeAll(async () => {
  dir = await workshop();
  if (device) whole = await sound(dir, device);
});
afterAll(() => rmSync(dir, { recursive: true }));

/** Goes on from a copy of the checkpoint of step 3. */
async function resume(name: string, change: Record<string, unknown>): Promise<Outcome> {
  cpSync(join(whole.out, "checkpoints/step-3"), join(dir, name, "checkpoints/step-3"), {
    recursive: true,
  });
  return await attempt(dir, name, device!, { resume: "auto", ...change });
}

gpu("every setting that changes the numbers is refused with its old and new value", async () => {
  const changes: Record<string, [was: unknown, now: unknown]> = {
    full: [false, true],
    use_dora: [false, true],
    layers: [undefined, "1"],
    loraplus_ratio: [1, 16],
    lr_decay: [undefined, 0.2],
    lr_decay_shape: [undefined, "linear"],
    min_lr_ratio: [0, 0.1],
    label_smoothing: [0, 0.1],
    neftune_alpha: [0, 5],
    quant: ["none", "nf4"],
    double_quant: [false, true],
    compute: ["f32", "f16"],
    rank: [2, 4],
    alpha: [4, 8],
    use_rslora: [false, true],
    dropout: [0.1, 0],
    lr: [0.01, 0.001],
    scheduler: ["cosine", "linear"],
    warmup: [0.1, 0],
    weight_decay: [0.01, 0],
    max_grad_norm: [1, 0],
    betas: [[0.9, 0.999], [0.9, 0.99]],
    eps: [1e-8, 1e-6],
    batch: [4, 2],
    accum: [1, 2],
    max_seq: [2048, 100],
    packing: [false, true],
    shuffle: [true, false],
    seed: [42, 43],
    target: [["q_proj"], ["k_proj"]],
    best: ["val_loss", "val_ppl"],
  };
  const marked = fieldsOf(trainSettings).filter(({ info: { changes } }) =>
    changes === "values" || changes === "shapes"
  );
  expect(Object.keys(changes).sort()).toEqual(marked.map(({ key }) => key).sort());
  for (const [key, [was, now]] of Object.entries(changes)) {
    const needed = key === "double_quant"
      ? { quant: "nf4" }
      : key.startsWith("lr_decay")
      ? { scheduler: "wsd" }
      : {};
    const { error, out } = await resume("changed", { ...needed, [key]: now });
    const line = `${key}: ${JSON.stringify(was)} -> ${JSON.stringify(now)}`;
    expect(error).toBeInstanceOf(Fail);
    expect(error).toMatchObject({ exit: Exit.usage, why: expect.stringContaining(line) });
    expect(weightsIn(out).filter((name) => !/step-3|^checkpoints /.test(name))).toEqual([]);
  }
});

gpu("what keeps the shapes can be accepted, what does not cannot", async () => {
  const slower = await resume("slower", { lr: 1e-3, allow_change: true });
  expect(slower.error).toBeUndefined();
  const warning = slower.events.find(({ event }) => event === "warn");
  expect(warning!.message).toContain("lr: 0.01 -> 0.001");
  const wider = await resume("wider", { rank: 4, allow_change: true });
  expect(wider.error).toMatchObject({ exit: Exit.usage, fix: expect.stringContaining("new run") });
});

gpu("other rows, another model, or other tokens of the same rows are refused", async () => {
  const rows = join(dir, "rows.jsonl"), text = readFileSync(rows, "utf8");
  const config = join(dir, "config.json"), settings = readFileSync(config, "utf8");
  const refused = async (name: string, why: string) => {
    const { error } = await resume(name, {});
    expect(error).toMatchObject({ exit: Exit.data, message: expect.stringContaining(why) });
  };
  writeFileSync(rows, text.split("\n").toReversed().join("\n"));
  await refused("rows", "not those that the run was begun with");
  writeFileSync(rows, text);
  writeFileSync(config, settings.replace("10000", "20000"));
  await refused("model", "is not the model that the run was begun with");
  writeFileSync(config, settings);

  const cut = { max_seq: 20, overlong: "truncate", iters: 3 };
  expect((await attempt(dir, "cut", device!, cut)).error).toBeUndefined();
  const dropped = { ...cut, overlong: "drop", iters: 6, resume: "auto" };
  expect((await attempt(dir, "cut", device!, dropped)).error).toMatchObject({
    exit: Exit.data,
    message: expect.stringContaining("become other tokens"),
  });
});

gpu("how often is logged, measured and saved, and what is kept, changes no bit", async () => {
  const sha = ({ events }: Outcome) => events.find(({ event }) => event === "end")!.sha256;
  const plain = await resume("plain", {});
  const often = { log_every: 5, save_every: 1, keep: 5, grad_checkpoint: "on" };
  const changed = await resume("often", often);
  expect(sha(changed)).toBe(sha(plain));
  forget(changed);
});

gpu("another length is allowed, and said", async () => {
  const longer = await resume("longer", { iters: 8 });
  expect(longer.error).toBeUndefined();
  expect(longer.events.filter(({ event }) => event === "step")).toHaveLength(5);
  const warning = longer.events.find(({ event }) => event === "warn");
  expect(warning!.message).toContain("has 8 steps now, it was begun with 6");
});

gpu(
  "other validation rows, or none, are refused; accepted, the best so far is forgotten",
  async () => {
    const val = join(dir, "other.jsonl");
    writeFileSync(val, readFileSync(join(dir, "rows.jsonl"), "utf8").split("\n")[0]!);
    for (const [other, now] of [[val, /rows \w{12}…/], [undefined, /none/]] as const) {
      const { error } = await resume("judged", { val: other });
      const line = new RegExp(`^validation: rows \\w{12}… -> ${now.source}$`);
      expect(error).toMatchObject({ exit: Exit.usage, why: expect.stringMatching(line) });
    }
    const { error, events } = await resume("judged", { val, allow_change: true });
    expect(error).toBeUndefined();
    const measured = events.filter(({ event }) => event === "eval");
    // However it compares with the one on the rows of before, the first on these is the best on these.
    expect(measured[0]).toMatchObject({ step: 6, best: true });
  },
);

/** Makes a run look as if it had been killed before it wrote its weights. */
function unfinish(out: string) {
  const path = join(out, "run.json"), manifest = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...manifest, status: "running", seconds: undefined }));
  rmSync(join(out, "adapter_model.safetensors"));
}

gpu(
  "a run killed after its last step, or as it stopped early, is only brought to its end",
  async () => {
    const go = (name: string, change = {}) =>
      attempt(dir, name, device!, { resume: "auto", ...change });
    const ended = ({ events }: Outcome) => events.find(({ event }) => event === "end");
    const steps = ({ events }: Outcome) => events.filter(({ event }) => event === "step").length;

    cpSync(whole.out, join(dir, "over"), { recursive: true });
    unfinish(join(dir, "over"));
    const over = await go("over");
    expect(over.error).toBeUndefined();
    expect([steps(over), ended(over)!.sha256]).toEqual([0, ended(whole)!.sha256]);
    const { error } = await go("over");
    expect(error).toMatchObject({ message: expect.stringContaining("has all 6 steps") });

    const patient = { lr: 5, eval_every: 1, patience: 1 };
    const early = await attempt(dir, "early", device!, patient);
    expect(ended(early)).toMatchObject({ status: "early" });
    unfinish(early.out);
    const again = await go("early", patient);
    expect([steps(again), ended(again)!.status]).toEqual([0, "early"]);
    expect(ended(again)!.sha256).toBe(ended(early)!.sha256);
    const refused = await go("early", patient);
    expect(refused.error).toMatchObject({ message: expect.stringContaining("stopped early") });
    const longer = await go("early", { ...patient, patience: 2 });
    expect(steps(longer)).toBeGreaterThan(0);
  },
);

/** Rewrites a manifest as a program that means it would, checksum and all. */
function edit(checkpoint: string, change: (body: Record<string, unknown>) => object) {
  const path = join(checkpoint, "manifest.json");
  const body = JSON.stringify(change(JSON.parse(readFileSync(path, "utf8")).body));
  writeFileSync(path, `{"sha256":"${sha256(body)}","body":${body}}\n`);
}

gpu("a checkpoint or run folder of another version of whet is never passed over", async () => {
  const { out } = await resume("versions", { lr: 1 }); // refused: only copies
  const third = join(out, "checkpoints/step-3"), kept = weightsIn(out);
  const manifest = readFileSync(join(third, "manifest.json"));
  const refused = async (change: Parameters<typeof edit>[1], why: string) => {
    edit(third, change);
    const { error } = await attempt(dir, "versions", device!, { resume: "auto" });
    expect(error).toMatchObject({ exit: Exit.disk, why: expect.stringContaining(why) });
    writeFileSync(join(third, "manifest.json"), manifest);
  };
  const state = (format?: number) => (body: Record<string, unknown>) => ({
    ...body,
    meta: { ...body.meta as object, format },
  });
  await refused((body) => ({ ...body, format: 2 }), "a newer whet; this one knows format 1");
  await refused(state(3), "a newer whet; this one knows format 2");
  await refused(state(undefined), "an older whet; this one knows format 2");

  const newer = JSON.stringify({ format: 2, kind: "sft" });
  writeFileSync(join(out, "run.json"), newer);
  const { error } = await attempt(dir, "versions", device!, { resume: "auto" });
  expect(error).toMatchObject({ message: expect.stringContaining("run.json has format 2") });
  expect(readFileSync(join(out, "run.json"), "utf8")).toBe(newer);
  expect(weightsIn(out).map((line) => line.split(" ")[0])).toEqual(
    kept.map((line) => line.split(" ")[0]),
  );
});

gpu("time is that of all sittings, whatever the clock is set to meanwhile", async () => {
  const told = { report_to: ["tensorboard", "wandb"] };
  const record = () => readRun(join(dir, "clock"));
  const now = Date.now, real = now();
  let looks = 0;
  try {
    // Hours forth and back at every look.
    Date.now = () => real + 3_600_000 * [0, 7, -30, 2][looks++ % 4]!;
    await attempt(dir, "clock", device!, told, 2);
    const { started, seconds, status } = record().manifest;
    expect(status).toBe("stopped");
    setSystemTime(new Date(real - 366 * 86_400_000));
    const { error, events } = await attempt(dir, "clock", device!, { ...told, resume: "auto" });
    expect(looks).toBeGreaterThan(3);
    expect(error).toBeUndefined();
    const end = ({ events }: Pick<Outcome, "events">) => events.find((e) => e.event === "end")!;
    expect(end({ events }).sha256).toBe(end(whole).sha256);
    const both = record().manifest;
    expect(both.started).toBe(started);
    expect(both.seconds).toBeWithin(seconds! + 0.001, 60);
  } finally {
    Date.now = now;
    setSystemTime();
  }
  const { steps } = record();
  expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  for (const { tok_s, ms } of steps) expect([tok_s > 0, ms > 0]).toEqual([true, true]);
});

gpu("a template that tells the date tells the day that the run was begun", async () => {
  const template = join(dir, "dated.jinja"), data = join(dir, "chat.jsonl");
  writeFileSync(
    template,
    "{{ strftime_now('%d %b %Y') }}{% for m in messages %} {{ m.role }}: {{ m.content }}{% endfor %}" +
      "{% if add_generation_prompt %} assistant:{% endif %}",
  );
  const row = (i: number) =>
    JSON.stringify({
      messages: [{ role: "user", content: `${i}?` }, { role: "assistant", content: `${i}!` }],
    });
  writeFileSync(data, [1, 2, 3, 4].map(row).join("\n"));
  const model = join(import.meta.dir, "../models/micro");
  const change = { model, data, template, val: undefined };
  const settings = () => readRun(join(dir, "dated")).manifest.settings;
  try {
    setSystemTime(new Date(2026, 1, 3, 23, 59));
    expect((await attempt(dir, "dated", device!, change, 2)).error).toBeUndefined();
    expect(settings().date).toBe("2026-02-03");
    setSystemTime(new Date(2026, 1, 4, 0, 1));
    const again = { ...change, resume: "auto" };
    const other = await attempt(dir, "dated", device!, { ...again, date: "2026-02-04" });
    expect(other.error).toMatchObject({ why: expect.stringContaining("--date") });
    expect((await attempt(dir, "dated", device!, again)).error).toBeUndefined();
    expect(settings().date).toBe("2026-02-03");
  } finally {
    setSystemTime();
  }
});

gpu(
  "stopped after the first, some and the last but one step, a run comes to the same bytes",
  async () => {
    for (const way of Object.keys(ways)) {
      expect(await interrupted(dir, device!, way, 12, [[1, 6, 11]])).toBe(1);
    }
  },
);
