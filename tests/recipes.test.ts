// Every shipped recipe: its config says only what its commands know, its files are there, its rows are sound.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { RECIPES } from "../src/settings/init.ts";
import { readConfig, resolve } from "../src/settings/load.ts";
import { sections, sectionSchemas } from "../src/settings/mod.ts";
import { inside } from "./cli/inside.ts";

const root = join(import.meta.dir, "..");
const out = mkdtempSync(join(tmpdir(), "whet-recipes-"));
afterAll(() => rmSync(out, { recursive: true }));
const at = (...path: string[]) => join(root, ...path);
const configOf = (name: string) => readFileSync(at("training/configs", `${name}.yaml`), "utf8");
const data = (name: string, file: string) => at("training/data", name, file);

async function check(file: string, ...more: string[]) {
  const ran = await inside("data check", [file, ...more, "--json"]);
  expect(ran.code, `${file}\n${ran.err}`).toBe(0);
  const report = JSON.parse(ran.out.trim().split("\n").at(-1)!);
  const counts = { bad: 0, copies: 0, near: 0, contradictions: 0, leaked: 0 };
  expect(report.counts, `${file}: ${ran.out}`).toMatchObject(counts);
  return report.rows as number;
}

describe("the config", () => {
  for (const name of RECIPES) {
    test(name, () => {
      const text = configOf(name);
      const whole = parse(text) as Record<string, unknown>;
      const known = sections();
      const used = Object.keys(whole).filter((key) => key in known);
      expect(used).toContain("eval");
      for (const section of used) {
        const given = readConfig(`${name}.yaml`, text, known, section);
        const flags = ["model", "name", "file", "data", "output"].map((key) => ({
          key,
          value: key,
          from: "flag",
        }));
        expect(() => resolve(sectionSchemas[section]!, [given, flags])).not.toThrow();
        const paths = given.map(({ value }) => value).flat().filter((value) =>
          typeof value === "string" && /^@?(training\/(data|configs)|schemas)\//.test(value)
        );
        for (const path of paths as string[]) {
          expect(existsSync(at(path.replace("@", ""))), path).toBe(true);
        }
      }
      // What a person is told to type is what there is.
      for (const line of text.split("\n").filter((line) => /^# {3}whet/.test(line))) {
        expect(line).toMatch(/training\/(configs|models)\//);
      }
      expect(readFileSync(at("training/README.md"), "utf8")).toContain(
        `training/configs/${name}.yaml`,
      );
    });
  }
});

describe("the rows", () => {
  for (const name of ["ccp-v1", "ccp-v2"]) {
    test(name, async () => {
      const schema = ["--schema", data(name, "schema.json")];
      const held = ["--against", data(name, "test.jsonl")];
      const rows = await check(data(name, "train.jsonl"), ...schema, ...held) +
        await check(data(name, "val.jsonl"), ...schema, ...held) +
        await check(data(name, "test.jsonl"), ...schema);
      expect(rows).toBeGreaterThanOrEqual(90);
    });
  }

  test("the reasons of ccp-v2 are no worse than what whet data reasoning lets pass", async () => {
    const ran = await inside("data reasoning", [
      data("ccp-v2", "train.jsonl"),
      "--check",
      "--json",
    ]);
    expect(ran.code, ran.err).toBe(0);
    const found = JSON.parse(ran.out.trim().split("\n").at(-1)!);
    expect(found).toMatchObject({ shallow: 0, templated: 0, contradicting: 0 });
  });

  test("underwriting", async () => {
    const held = ["--against", data("underwriting", "test.jsonl")];
    const rows = await check(data("underwriting", "train.jsonl"), ...held) +
      await check(data("underwriting", "val.jsonl"), ...held) +
      await check(data("underwriting", "test.jsonl"));
    expect(rows).toBeGreaterThanOrEqual(60);
  });

  test("gemma-json", async () => {
    const schema = ["--schema", data("gemma-json", "schema.json")];
    const held = ["--against", data("gemma-json", "test.json")];
    const rows = await check(data("gemma-json", "raw_data.json"), ...schema, ...held) +
      await check(data("gemma-json", "val.json"), ...schema, ...held) +
      await check(data("gemma-json", "test.json"), ...schema);
    expect(rows).toBeGreaterThanOrEqual(80);
  });

  test("cogniverse-routing", async () => {
    const made: Record<string, number> = {};
    for (const [file, kind] of [["spans", "sft"], ["reviewed_spans", "dpo"]] as const) {
      const rows = join(out, `${kind}.jsonl`);
      const from = [data("cogniverse-routing", `${file}.json`), "--agent", "routing"];
      const ran = await inside("data from-phoenix", [...from, "--kind", kind, "-o", rows]);
      expect(ran.code, ran.err).toBe(0);
      const held = kind === "sft" ? ["--against", data("cogniverse-routing", "test.jsonl")] : [];
      made[kind] = await check(rows, ...held);
    }
    expect(made).toEqual({ sft: 76, dpo: 26 });
  });

  test("clitron", async () => {
    const rows = data("clitron", "test.jsonl");
    expect(await check(rows, "--schema", at("schemas/git.yaml"))).toBe(60);
  });
});
