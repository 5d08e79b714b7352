// kill -9 in every stage of a pipeline, and the same command again: the same file in the end.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../src/base/sha256.ts";
import { STAGES } from "../src/settings/pipeline.ts";
import { start } from "./cli/run.ts";

setDefaultTimeout(1_800_000);
const folder = mkdtempSync(join(tmpdir(), "whet-pipeline-kills-"));
afterAll(() => rmSync(folder, { recursive: true }));

const SETTINGS = `
train: { iters: 6, samples: 0, rank: 4, eval_every: 2 }
dpo: { iters: 3, samples: 0 }
eval: { limit: 6, max_tokens: 32 }
pipeline: { model: micro, num: 200, pairs: 40, quant: q8_0 }
`;
const project = (name: string) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "whet.yaml"), SETTINGS);
  return path;
};

interface Ended {
  readonly killed: boolean;
  readonly code: number;
  readonly err: string;
  /** Milliseconds that each stage took. */
  readonly took: Readonly<Record<string, number>>;
}

/** Runs the pipeline; with `kill`, until so many milliseconds into that stage. */
async function run(
  cwd: string,
  words: readonly string[],
  kill?: { readonly stage: string; readonly after: number },
): Promise<Ended> {
  const child = start(["pipeline", "garden", ...words, "--json"], cwd);
  child.stdin.end();
  const err = new Response(child.stderr).text();
  const began: Record<string, number> = {}, took: Record<string, number> = {};
  let killed = false, text = "", timer: Timer | undefined;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      const { event, stage, status } = JSON.parse(line);
      if (event !== "stage") continue;
      if (status === "begin") began[stage] = performance.now();
      else if (began[stage]) took[stage] = performance.now() - began[stage];
      if (status === "begin" && stage === kill?.stage) {
        timer = setTimeout(() => {
          killed = true;
          child.kill(9);
        }, kill!.after);
      }
    }
  }
  const code = await child.exited;
  clearTimeout(timer);
  return { killed, code, err: await err, took };
}

/** What a finished pipeline comes to. */
function result(cwd: string): Record<string, string> {
  const at = (path: string) => readFileSync(join(cwd, "training", path));
  const { stages } = JSON.parse(at("models/garden/pipeline.json").toString());
  for (const { status } of Object.values(stages as Record<string, { status: string }>)) {
    expect(status).toBe("done");
  }
  const files = [
    "data/garden/train.jsonl",
    "data/garden/train_val.jsonl",
    "data/garden/preferences.jsonl",
    "models/garden/sft/adapter_model.safetensors",
    "models/garden/dpo/adapter_model.safetensors",
    "models/garden/clitron-garden-q8_0.gguf",
  ];
  const { n, exact_match, perplexity } = JSON.parse(at("models/garden/eval/q8_0.json").toString());
  return {
    ...Object.fromEntries(files.map((path) => [path, sha256(at(path))])),
    eval: JSON.stringify({ n, exact_match, perplexity }),
  };
}

let whole: { readonly files: Record<string, string>; readonly took: Ended["took"] };
beforeAll(async () => {
  const cwd = project("whole");
  const { code, err, took } = await run(cwd, []);
  expect(code, err).toBe(0);
  whole = { files: result(cwd), took };
});

for (const stage of STAGES) {
  for (const share of [0.02, 0.5, 0.9]) {
    test(`killed at ${share} of ${stage}`, async () => {
      const cwd = project(`${stage}-${share}`);
      const first = await run(cwd, [], { stage, after: share * whole.took[stage]! });
      const second = await run(cwd, []);
      expect(second.code, second.err).toBe(0);
      if (!first.killed) expect(first.code).toBe(0);
      expect(result(cwd)).toEqual(whole.files);
    });
  }
}

test("killed in every stage of one training, and of the same forced", async () => {
  const cwd = project("often");
  for (const words of [[], ["--force"]]) {
    for (const stage of STAGES) {
      // What is done already is not asked for again: only the first start forces.
      const force = stage === STAGES[0]
        ? words
        : words.length > 0
        ? ["--from", stage, ...words]
        : [];
      await run(cwd, force, { stage, after: 0.4 * whole.took[stage]! });
    }
    const last = await run(cwd, []);
    expect(last.code, last.err).toBe(0);
    expect(result(cwd)).toEqual(whole.files);
  }
});
