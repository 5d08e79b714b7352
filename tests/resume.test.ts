// What a run may be resumed with: nothing that would change its numbers, anything that would not.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { Exit, Fail } from "../src/base/fail.ts";
import { fieldsOf } from "../src/settings/field.ts";
import { trainSettings } from "../src/settings/train.ts";
import { attempt, forget, type Outcome, weightsIn, workshop } from "./faults.ts";
import { sound } from "./faults_cases.ts";

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
  const plain = await resume("plain", { val: undefined });
  const often = { log_every: 5, save_every: 1, keep: 5, grad_checkpoint: "on", val: undefined };
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
