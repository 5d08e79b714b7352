// whet init, and the recipes it writes.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEMPLATES } from "../../src/settings/init.ts";
import { bare, whet } from "./run.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "whet init "));
afterAll(() => rmSync(folder, { recursive: true }));
const project = (name: string) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
};

describe.concurrent("every template is ready to run", () => {
  for (const template of TEMPLATES) {
    test(template, async () => {
      const cwd = project(`t-${template}`);
      const { code, out } = await whet(["init", "notes", "-t", template, "--json"], cwd);
      expect(code).toBe(0);
      const { written, kept, next } = JSON.parse(out);
      expect(kept).toEqual([]);
      for (const file of written) expect(existsSync(join(cwd, file)), file).toBe(true);
      expect(written.join()).not.toContain("NAME");
      expect(readFileSync(join(cwd, "whet.yaml"), "utf8")).not.toContain("NAME");
      const command = next.replace(/^whet /, "").split(" ");
      const dry = await whet([...command, "--dry-run"], cwd);
      expect(dry.err).not.toContain("error");
      expect(dry.code).toBe(0);
    });
  }
});

test("what is there is kept, and --force writes over it", async () => {
  const cwd = project("twice");
  writeFileSync(join(cwd, ".gitignore"), "mine\n");
  const once = JSON.parse((await whet(["init", "--json"], cwd)).out);
  expect(once).toMatchObject({ name: "twice", kept: [".gitignore"] });
  expect(once.written).toContain("schemas/twice.yaml");
  expect(readFileSync(join(cwd, ".gitignore"), "utf8")).toBe("mine\n");
  const forced = JSON.parse((await whet(["init", "--force", "--json"], cwd)).out);
  expect(forced.kept).toEqual([]);
  expect(readFileSync(join(cwd, ".gitignore"), "utf8")).toContain("training/models/");
});

/** The commands of S4's list: recipe and the words that it puts behind `whet pipeline`. */
const RECIPES: readonly (readonly [recipe: string, words: string])[] = [
  ["train", ""],
  ["train-generate", "--stage generate"],
  ["train-generate-force", "--stage generate --force"],
  ["train-sft", "--stage sft"],
  ["train-generate-preferences", "--stage preferences"],
  ["train-dpo", "--stage dpo"],
  ["train-quantize", "--stage quantize"],
  ["train-eval", "--stage eval"],
];
const justfile = join(import.meta.dir, "../../templates/justfile");

test("the justfile has every recipe", () => {
  const text = readFileSync(justfile, "utf8");
  for (const [recipe] of [...RECIPES, ["train-list-schemas"]]) {
    expect(text).toContain(`\n${recipe} *args:\n`);
  }
});

const just = Bun.which("just");
if (!just) console.log("skipped: just is not on the PATH, its recipes are not run");

test.skipIf(!just)("just gives each recipe's words to whet, before and behind it", () => {
  const ask = (...argv: string[]) => {
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      [just!, "--justfile", justfile, "--working-directory", folder, ...argv],
      { env: { ...bare(), WHET: "echo" } },
    );
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    return stdout.toString().trim().split(/\s+/);
  };
  for (const [recipe, words] of RECIPES) {
    const mine = words.split(" ").filter(Boolean);
    expect(ask(recipe, "name=gh", "num=5000")).toEqual([
      "pipeline",
      ...mine,
      "name=gh",
      "num=5000",
    ]);
    expect(ask("name=gh", "quant=q8_0", recipe))
      .toEqual(["pipeline", "name=gh", "quant=q8_0", ...mine]);
  }
  expect(ask("train-list-schemas")).toEqual(["pipeline", "ls"]);
});
