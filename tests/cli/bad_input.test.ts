// What a stranger can do wrong: every case ends with the right exit code, says what, why and what to do
// next, and leaves nothing half-written.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
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
import { listCheckpoints } from "../../src/formats/checkpoint.ts";
import {
  openSafetensors,
  type TensorSource,
  writeSafetensors,
} from "../../src/formats/safetensors.ts";
import { workshop } from "../faults.ts";
import { type Ran, start, whet } from "./run.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "whet bad ü-"));
const at = (...names: string[]) => join(folder, ...names);
afterAll(() => rmSync(folder, { recursive: true }));

const sft = ["train", "sft", "-m", "tiny", "-d", "rows.jsonl", "--batch", "4", "--rank", "2"];

beforeAll(async () => {
  const made = await workshop();
  cpSync(made, at("tiny"), { recursive: true });
  for (const rows of ["rows.jsonl", "val.jsonl"]) cpSync(join(made, rows), at(rows));
  rmSync(made, { recursive: true });
});

/** A refusal in three lines; `what` is all of the first, `why` and `fix` are parts. */
function refused(ran: Ran, code: number, what: string, why: string, fix: string) {
  const [first, ...rest] = ran.err.split("\n  ");
  expect({ code: ran.code, what: first!.replace(/ \[WH\d{4}\]$/, "") })
    .toEqual({ code, what: `error: ${what}` });
  expect(rest.join("\n")).toContain(why);
  expect(rest.at(-1)).toStartWith("fix: ");
  expect(rest.at(-1)).toContain(fix);
  expect(ran.out).toBe("");
}

describe.concurrent("a model folder that is not right", () => {
  const train = (model: string) => whet([...sft, "-m", model, "-o", `${model} run`], folder);

  /** A copy of the model with other tensors. */
  async function altered(name: string, change: (tensors: TensorSource[]) => TensorSource[]) {
    cpSync(at("tiny"), at(name), { recursive: true });
    using file = openSafetensors(at("tiny/model.safetensors"));
    const tensors = [...file.tensors].map(([name, { dtype, shape }]) => ({
      name,
      dtype,
      shape,
      data: file.readBytes(name).slice(),
    }));
    await writeSafetensors(at(name, "model.safetensors"), change(tensors));
    return name;
  }
  const norm = "model.layers.1.input_layernorm.weight";

  test("a tensor is missing", async () => {
    const ran = await train(await altered("less", (all) => all.filter((t) => t.name !== norm)));
    const what = "less: the weights are not those of the llama model in config.json";
    refused(ran, 3, what, `missing: ${norm} f32[64]`, "belong together");
    expect(existsSync(at("less run"))).toBe(false);
  });

  test("a tensor is one too many", async () => {
    const surplus = { name: "surplus", dtype: "F32", shape: [1], data: new Uint8Array(4) } as const;
    const ran = await train(await altered("more", (all) => [...all, surplus]));
    const what = "more: the weights are not those of the llama model in config.json";
    refused(ran, 3, what, "not part of the model: surplus", "belong together");
  });

  test("a tensor has another shape", async () => {
    const ran = await train(
      await altered(
        "bent",
        (all) => all.map((t) => t.name === norm ? { ...t, shape: [32, 2] } : t),
      ),
    );
    const what = "bent: the weights are not those of the llama model in config.json";
    refused(ran, 3, what, `${norm} is [32, 2], config.json makes it [64]`, "belong together");
  });

  test("an unknown architecture, and a setting that would be computed otherwise", async () => {
    const config = JSON.parse(readFileSync(at("tiny/config.json"), "utf8"));
    for (
      const [name, change] of [
        ["mamba", { model_type: "mamba", architectures: ["MambaForCausalLM"] }],
        ["relu", { hidden_act: "relu" }],
      ] as const
    ) {
      cpSync(at("tiny"), at(name), { recursive: true });
      writeFileSync(at(name, "config.json"), JSON.stringify({ ...config, ...change }));
    }
    const [mamba, relu] = await Promise.all([train("mamba"), train("relu")]);
    const what = 'unknown architecture: config.json has model_type "mamba"';
    refused(mamba, 3, what, "llama, phi", "one of these families");
    refused(relu, 3, 'config.json: hidden_act is "relu"', 'built for "silu"', "choose a model");
  });

  test("a cut file, a Git-LFS pointer, no weights, no folder", async () => {
    for (const name of ["cut", "pointer", "empty"]) {
      cpSync(at("tiny"), at(name), { recursive: true });
    }
    const weights = readFileSync(at("tiny/model.safetensors"));
    writeFileSync(at("cut/model.safetensors"), weights.subarray(0, -100));
    writeFileSync(
      at("pointer/model.safetensors"),
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 10\n",
    );
    rmSync(at("empty/model.safetensors"));
    const [cut, pointer, empty, none, file] = await Promise.all(
      ["cut", "pointer", "empty", "nowhere", "rows.jsonl"].map((model) =>
        whet(["infer", "-m", model, "-p", "x"], folder)
      ),
    );
    for (const { code, out } of [cut!, pointer!, empty!]) expect([code, out]).toEqual([3, ""]);
    expect(cut!.err).toMatch(/cut\/model\.safetensors: .* ends at \d+, but the file has \d+ bytes/);
    expect(pointer!.err).toContain("this is a Git-LFS pointer, not the weights");
    expect(empty!.err).toContain("no model.safetensors");
    refused(none!, 3, "nowhere: there is no such folder", "a model is a folder", "-m");
    refused(file!, 3, "rows.jsonl: this is a file", "a model is a folder", "-m");
  });
});

describe.concurrent("settings", () => {
  const inside = (name: string, yaml: string) => {
    mkdirSync(at(name));
    writeFileSync(at(name, "whet.yaml"), yaml);
    return whet(["train", "sft", "-m", "../tiny", "-d", "../rows.jsonl", "-o", "o"], at(name));
  };

  test("a key that does not exist is found with its place and the one that was meant", async () => {
    const ran = await inside("key", "train:\n  lr: 1e-4\n  epohcs: 3\n");
    const what = 'whet.yaml:3:3: unknown setting of train "epohcs"';
    refused(ran, 2, what, 'did you mean "epochs"?', "");
    expect(readdirSync(at("key"))).toEqual(["whet.yaml"]);
  });

  test("a value of the wrong kind, a key given twice", async () => {
    const [kind, twice] = await Promise.all([
      inside("kind", "train:\n  lr: fast\n"),
      inside("twice", "train:\n  lr: 1e-4\n  lr: 2e-4\n"),
    ]);
    const what = 'whet.yaml:2:3: lr: expected a number, got "fast"';
    refused(kind, 2, what, "peak learning rate", "");
    refused(twice, 2, "whet.yaml:3:3: not valid YAML", "unique", "correct that line");
  });
});

describe.concurrent("rows", () => {
  const train = (name: string, stdin: string | Uint8Array, ...more: string[]) =>
    whet([...sft, "-d", "-", "-o", name, "--iters", "1", ...more], folder, { stdin });
  const row = (ids: number[], labels: number[]) =>
    JSON.stringify({ input_ids: ids, labels }) + "\n";
  const long = row([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [-100, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const short = row([1, 2, 3, 4], [-100, 2, 3, 4]);
  const late = row([1, 2, 3, 4, 5, 6, 7, 8, 9], [...Array(8).fill(-100), 9]);

  test("every broken line is named, at most 20 of them", async () => {
    const [few, many] = await Promise.all([
      train("few", short + '\n{"a":1}\n' + short + '{"input_ids":[1,2\n' + '["x"]\n'),
      train("many", "nope\n".repeat(50)),
    ]);
    refused(few, 3, "3 of 5 rows of standard input cannot be used", "line 3: ", "--skip-bad");
    for (const line of [5, 6]) expect(few.err).toContain(`line ${line}: `);
    expect(many.err.match(/line \d+:/g)).toHaveLength(20);
    expect(many.err).toContain("and 30 more");
    expect([existsSync(at("few")), existsSync(at("many"))]).toEqual([false, false]);
  });

  test("ids outside the vocabulary, given or made by the tokenizer", async () => {
    const [given, made] = await Promise.all([
      train("ids", row([1, 299, 300], [-100, 299, 300])),
      train("text", '{"prompt":"hello there","completion":"world wide"}\n'),
    ]);
    const what = "1 of 1 rows of standard input cannot be used";
    refused(
      given,
      3,
      what,
      "line 1: input_ids[2] is 300, which is outside the vocabulary of 300",
      "",
    );
    expect(made.code).toBe(3);
    expect(made.err).toMatch(
      /line 1: the tokenizer makes token \d+ of it, the model's vocabulary has 300/,
    );
  });

  test("a row with no supervised token", async () => {
    const ran = await train("none", short + row([1, 2, 3], [-100, -100, -100]));
    const what = "1 of 2 rows of standard input cannot be used";
    refused(ran, 3, what, "line 2: no token is trained", "correct the rows");
  });

  test("an empty dataset, and one that is empty once long rows are left out", async () => {
    const sentence =
      "Cannot train with empty dataset. No training examples available after formatting.";
    const [empty, dropped] = await Promise.all([
      train("empty run", ""),
      train("dropped", long, "--max-seq", "8", "--overlong", "drop"),
    ]);
    refused(empty, 3, sentence, "standard input holds no rows", "one JSON object a line");
    expect(dropped.code).toBe(3);
    expect(dropped.err).toContain(`error: ${sentence}`);
    expect(dropped.err).toContain("why: every row was left out as too long");
    expect([existsSync(at("empty run")), existsSync(at("dropped"))]).toEqual([false, false]);
  });

  test("long rows are an error, left out, or cut, and what that costs is said", async () => {
    const [error, drop, cut] = await Promise.all(
      ["error", "drop", "truncate"].map((choice) =>
        train(
          `long-${choice}`,
          long + short + late,
          "--max-seq",
          "8",
          "--overlong",
          choice,
          "--json",
        )
      ),
    );
    expect(error!.code).toBe(3);
    expect(error!.err).toContain("line 1: the row has 10 tokens, more than the 8 allowed");
    expect(error!.err).toContain("line 3: the row has 9 tokens, more than the 8 allowed");
    expect(error!.err).toContain("--max-seq 10");
    expect([drop!.code, cut!.code]).toEqual([0, 0]);
    expect(drop!.err).toContain(
      "2 of 3 rows are longer than 8 tokens and left out: 82.61 % of all tokens lost\n",
    );
    // Of the third row nothing trained is left, so it goes as a whole.
    expect(cut!.err).toContain(
      "2 of 3 rows are longer than 8 tokens and cut: 47.83 % of all tokens lost; " +
        "1 lost the end of their answer",
    );
    const rows = (ran: Ran) =>
      ran.out.split("\n").filter(Boolean).map((line) => JSON.parse(line))
        .find(({ event }) => event === "start").data;
    expect(rows(drop!)).toMatchObject({ rows: 1, tokens: 4 });
    expect(rows(cut!)).toMatchObject({ rows: 2, tokens: 12 });
  });
});

describe("the output folder", () => {
  test.skipIf(process.platform !== "linux")("cannot be written", async () => {
    // A folder that even root may not write to.
    const ran = await whet([...sft, "-o", "/sys/whet-run"], folder);
    expect(ran.code).toBe(12);
    expect(ran.err).toStartWith("error: could not write /sys/whet-run");
    expect(ran.err).toContain("fix: Choose a folder you can write to (-o DIR)");
  });

  test("is in use: the second run is told by whom; a signal ends the first in good order", async () => {
    const argv = [...sft, "-o", "busy", "--iters", "2000", "--json"];
    const first = start(argv, folder);
    first.stdin.end();
    let second: Ran | undefined, steps = 0, out = "";
    for await (const chunk of first.stdout) {
      out += new TextDecoder().decode(chunk);
      steps = out.split('"event":"step"').length - 1;
      if (!second && steps > 0) {
        second = await whet([...argv, "--resume"], folder);
        first.kill("SIGTERM");
      }
    }
    expect(await first.exited).toBe(143);
    const by = second!.err.match(/busy is in use by process (\d+) on /);
    expect([second!.code, Number(by?.[1])]).toEqual([12, first.pid]);
    expect(JSON.parse(out.trim().split("\n").at(-1)!)).toMatchObject({
      event: "end",
      status: "stopped",
    });
    expect(existsSync(at("busy/checkpoints", `step-${steps}`))).toBe(true);
    expect(readdirSync(at("busy/checkpoints")).filter((name) => !name.startsWith("step-")))
      .toEqual([]);
  });

  test("killed outright, a run goes on from its last checkpoint to the same bytes", async () => {
    const argv = [...sft, "--iters", "60", "--save-every", "4", "--json", "-o"];
    const child = start([...argv, "killed"], folder);
    child.stdin.end();
    let out = "";
    for await (const chunk of child.stdout) {
      out += new TextDecoder().decode(chunk);
      if (out.includes('"event":"checkpoint"') && child.exitCode === null) child.kill("SIGKILL");
    }
    expect(await child.exited).toBe(137);
    const [resumed, whole] = await Promise.all([
      whet([...argv, "killed", "--resume"], folder),
      whet([...argv, "whole"], folder),
    ]);
    expect([resumed.code, whole.code]).toEqual([0, 0]);
    expect(JSON.parse(resumed.out.split("\n")[0]!).resumed_from).toBeGreaterThanOrEqual(4);
    const bytes = (run: string) => readFileSync(at(run, "adapter_model.safetensors"));
    expect(bytes("killed").equals(bytes("whole"))).toBe(true);
    const left = readdirSync(at("killed/checkpoints")).filter((name) => !/^step-\d+$/.test(name));
    expect(left).toEqual([]);
  });

  test("a second signal stops at once and leaves nothing broken", async () => {
    const argv = [...sft, "-o", "twice", "--iters", "2000", "--save-every", "5", "--json"];
    const child = start(argv, folder);
    child.stdin.end();
    let out = "";
    for await (const chunk of child.stdout) {
      out += new TextDecoder().decode(chunk);
      if (out.includes('"event":"checkpoint"')) break;
    }
    child.kill("SIGINT");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    // Whether it was quick enough to finish the step or not: there is a checkpoint to go on from.
    const saved = listCheckpoints(at("twice")).map(({ step }) => step);
    const longer = [...argv, "--resume", "--iters", String(saved[0]! + 2)];
    const again = await whet(longer, folder);
    expect({ code: again.code, err: again.code ? again.err : "" }).toEqual({ code: 0, err: "" });
    expect(again.err).toContain("it was begun with 2000: the learning rate goes on");
    expect(again.out).toContain(`"resumed_from":${saved[0]}`);
  });
});
