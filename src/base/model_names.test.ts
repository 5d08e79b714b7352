import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fail } from "./fail.ts";
import { findModel, modelNamed } from "./model_names.ts";

const cache = mkdtempSync(join(tmpdir(), "whet-hub-"));
afterAll(() => rmSync(cache, { recursive: true }));
const env = { HF_HUB_CACHE: cache };

/** A repository in the cache, with its files behind the commit that main names. */
function downloaded(name: string, files: readonly string[]): string {
  const repository = join(cache, `models--${name.replace("/", "--")}`);
  const folder = join(repository, "snapshots", "0123abc");
  mkdirSync(join(repository, "refs"), { recursive: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(repository, "refs", "main"), "0123abc\n");
  for (const file of files) writeFileSync(join(folder, file), "{}");
  return folder;
}

test("a path is itself, micro is built in", () => {
  expect(modelNamed(cache, env)).toBe(cache);
  expect(modelNamed("micro", env)).toEndWith(join("models", "micro"));
});

test("a name is found in the Hugging Face cache", () => {
  const folder = downloaded("org/Model-1.5B", ["config.json"]);
  expect(modelNamed("org/Model-1.5B", env)).toBe(folder);
  const { HF_HUB_CACHE: _, ...without } = env;
  mkdirSync(join(cache, "home"), { recursive: true });
  expect(modelNamed("org/Model-1.5B", { ...without, HF_HOME: join(cache, "home") }))
    .toBeUndefined();
});

test("a download without config.json is none", () => {
  downloaded("org/half", []);
  expect(modelNamed("org/half", env)).toBeUndefined();
  expect(() => findModel("org/half", env)).toThrow(Fail);
});

test("what is missing says how to get it", () => {
  const told = (name: string) => {
    try {
      findModel(name, env);
    } catch (error) {
      return (error as Fail).fix;
    }
  };
  expect(told("meta-llama/Nothing")).toStartWith("hf download meta-llama/Nothing; or model=DIR");
  expect(told("./nowhere")).toStartWith("check the path: ls -l ./nowhere; or model=DIR");
});
