// Every shipped recipe as a stranger runs it with the model that is built in: from its rows to an adapter, a
// verified export and an evaluation page. The numbers of the training are the recipes' own; the model is small.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RECIPES } from "../src/settings/init.ts";
import { whet } from "./cli/run.ts";

setDefaultTimeout(1_200_000);
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

type Recipe = (typeof RECIPES)[number];
const MICRO = ["-m", "micro"];

/** A model that never learns to end its answers need not be heard out. */
const SHORT = ["--max-tokens", "48"];
const STEADY = [["train sft", ...MICRO, "--samples", "1"], ["eval", ...MICRO, ...SHORT], [
  "export",
  ...SHORT,
]] as const;

/** What follows whet, and -c CONFIG after the command, line by line. */
const STEPS: Readonly<Record<Recipe, readonly (readonly string[])[]>> = {
  "ccp-v1": STEADY,
  "ccp-v2": STEADY,
  underwriting: STEADY,
  "gemma-json": [
    ["data convert"],
    ...STEADY,
    ["infer", "-p", "When is paper collected in Bell Green?"],
  ],
  "cogniverse-routing": [
    ["train auto", ...MICRO],
    ["eval", ...MICRO],
    ["export"],
    [
      "train auto",
      ...MICRO,
      "--from",
      "training/data/cogniverse-routing/reviewed_spans.json",
      "--init-adapter",
      "training/models/cogniverse-routing/sft",
      "-o",
      "training/models/cogniverse-routing/dpo",
    ],
    ["eval", ...MICRO, "-a", "training/models/cogniverse-routing/dpo"],
  ],
  clitron: [
    ["pipeline git", ...MICRO, "num=400", "--pairs", "30"],
    [
      "eval",
      ...MICRO,
      "-o",
      "training/models/git/eval.json",
      "--html",
      "training/models/git/eval.html",
    ],
  ],
};

/** What must be there in the end, and the GGUF file among it. */
const MADE: Readonly<Record<Recipe, readonly string[]>> = {
  "ccp-v1": ["ccp-v1/eval.html", "ccp-v1/ccp-v1.gguf", "ccp-v1/Modelfile"],
  "ccp-v2": ["ccp-v2/eval.html", "ccp-v2/ccp-v2.gguf", "ccp-v2/Modelfile"],
  underwriting: ["underwriting/eval.html", "underwriting/underwriting.gguf"],
  "gemma-json": ["gemma-json/eval.html", "gemma-json/merged/model.safetensors"],
  "cogniverse-routing": [
    "cogniverse-routing/eval.html",
    "cogniverse-routing/cogniverse-routing.gguf",
  ],
  clitron: ["git/eval.html", "git/clitron-git-q4_k_m.gguf"],
};

for (const name of RECIPES) {
  test(name, async () => {
    const cwd = mkdtempSync(join(tmpdir(), `whet-recipe-${name}-`));
    folders.push(cwd);
    const run = async (command: string, ...argv: string[]) => {
      const ran = await whet([...command.split(" "), ...argv], cwd);
      expect(ran.code, `${command}\n${ran.err}`).toBe(0);
      return ran;
    };
    await run("init", "-t", name);
    const config = ["-c", `training/configs/${name}.yaml`];
    for (const [command, ...argv] of STEPS[name]) await run(command!, ...config, ...argv);
    const models = join(cwd, "training/models");
    for (const file of MADE[name]) expect(existsSync(join(models, file)), file).toBe(true);
    const folder = join(models, name === "clitron" ? "git" : name);
    const measured = JSON.parse(readFileSync(join(folder, "eval.json"), "utf8"));
    expect(measured.perplexity).toBeLessThan(measured.baseline.perplexity);
    if (name === "gemma-json") {
      // Three ways out of one training, under one prompt.
      const tuned = join("training/models", name, "fine_tuned_model");
      const gguf = join("training/models", name, "model.gguf");
      await run("export", tuned, "-o", gguf, "--gguf", "--quant", "q8_0", "--verify");
      const asked = await whet(["infer", ...config, "--system", "Be brief.", "-p", "Hello"], cwd);
      expect(asked.code).toBe(3);
      expect(asked.err).toContain("was trained under another prompt");
    }
  });
}
