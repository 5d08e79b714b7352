// What whet init writes runs at once with the model that is built in, to its end.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TEMPLATES } from "../src/settings/init.ts";
import { whet } from "./cli/run.ts";

setDefaultTimeout(600_000);
const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

for (const template of TEMPLATES) {
  test(template, async () => {
    const cwd = mkdtempSync(join(tmpdir(), `whet-init-${template}-`));
    folders.push(cwd);
    const made = await whet(["init", "notes", "--template", template, "--json"], cwd);
    const command: string = JSON.parse(made.out).next;
    const { code, err } = await whet(command.split(" ").slice(1), cwd);
    expect(code, err).toBe(0);
    const models = join(cwd, "training/models/notes");
    const runs = readdirSync(models).filter((name) => ["sft", "dpo", "embed"].includes(name));
    expect(runs.length).toBeGreaterThan(0);
    for (const run of runs) {
      const { status } = JSON.parse(readFileSync(join(models, run, "run.json"), "utf8"));
      expect(status).toBe("finished");
    }
    if (template === "cli") {
      const { exact_match, json_valid } = JSON.parse(
        readFileSync(join(models, "eval/q8_0.json"), "utf8"),
      );
      expect(json_valid).toBeGreaterThan(0.9);
      expect(exact_match).toBeGreaterThan(0.4);
    }
    if (template === "json") {
      const rows = join("training", "data", "notes", "train.jsonl");
      const sft = join("training", "models", "notes", "sft");
      const gate = ["--fail-under", "exact_match=.9,schema_valid=.95"];
      const measured = await whet(["eval", "-a", sft, "-d", rows, ...gate], cwd);
      expect(measured.code, measured.err).toBe(0);
    }
  });
}
