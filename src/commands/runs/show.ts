import { z } from "zod";
import { columns, humanBytes, humanSeconds, short, thousands } from "../../base/text.ts";
import { listCheckpoints } from "../../formats/checkpoint.ts";
import { bestOf } from "../../report/record.ts";
import { filesOf, type Run, sizeOf, summaryOf, theRun } from "../../report/registry.ts";
import { labelOf } from "../../report/tags.ts";
import { command } from "../command.ts";
import { rootField, runField } from "./runs.ts";

export const runsShow = command({
  examples: [
    "whet runs show first",
    "whet runs show ./runs/first --json",
    "whet runs show garden:v1.0",
  ],
  settings: z.strictObject({ run: runField(), root: rootField() }),
  // deno-lint-ignore require-await -- a command is
  async run({ run: given, root }, io) {
    const run = theRun(given, root);
    const { path, record, tags } = run;
    const checkpoints = listCheckpoints(path);
    io.result({ ...summaryOf(run), tags, checkpoints, manifest: record.manifest });
    io.out(`${io.paint("bold", record.manifest.name)}  ${run.standing}\n`);
    io.out(columns(factsOf(run).filter(([, value]) => value !== "").map(([k, v]) => [k, v])));
    const { evals, warnings } = record;
    if (evals.length > 0) {
      const best = bestOf(evals);
      const rows = evals.map((e) => [
        String(e.step),
        short(e.epoch),
        short(e.val_loss),
        e.ppl === undefined ? "" : short(e.ppl),
        e === best ? "best" : "",
      ]);
      io.out(
        `\n${columns([["step", "epoch", "val loss", "perplexity", ""], ...rows], [0, 1, 2, 3])}`,
      );
    }
    if (checkpoints.length > 0) {
      io.out("");
      for (const { path, bytes } of checkpoints) io.out(`${path}  ${humanBytes(bytes)}`);
    }
    for (const warning of warnings) io.out(`\nwarning: ${warning}`);
    io.out(`\n${columns(settingsOf(record.manifest.settings))}`);
  },
});

function factsOf(run: Run): [name: string, value: string][] {
  const { path, tags, record: { manifest, steps } } = run;
  const { model, data, validation, adapter, device, whet } = manifest;
  const memory = steps.reduce((most, { mem_bytes }) => Math.max(most, mem_bytes || 0), 0);
  const summary = summaryOf(run);
  const changed = (sha256?: string) =>
    sha256 && adapter && sha256 !== adapter.sha256 ? " (weights changed since)" : "";
  return [
    ["folder", `${path}, ${filesOf(path).length} files, ${humanBytes(sizeOf(path))}`],
    ["tags", tags.map((tag) => labelOf(tag) + changed(tag.sha256)).join(", ")],
    ["error", manifest.error ?? ""],
    ["started", manifest.started],
    ["time", summary.seconds === undefined ? "" : humanSeconds(summary.seconds)],
    ["steps", `${summary.step} of ${manifest.steps}`],
    ["model", `${model.path}${model.type ? ` (${model.type})` : ""}`],
    ["model sha256", model.sha256 ?? ""],
    [
      "trained",
      model.trainable && model.parameters
        ? `${thousands(model.trainable)} of ${thousands(model.parameters)} weights`
        : "",
    ],
    ["rows", `${data.path}, ${thousands(data.rows)}`],
    ["rows sha256", data.sha256 ?? ""],
    ["validation", validation ? `${validation.path}, ${thousands(validation.rows)} rows` : ""],
    ["loss", steps.length > 0 ? `${short(steps[0]!.loss)} to ${short(steps.at(-1)!.loss)}` : ""],
    ["memory", memory > 0 ? humanBytes(memory) : ""],
    ["weights sha256", adapter?.sha256 ?? ""],
    ["device", String(device.adapter ?? "")],
    ["whet", `${whet.version} (${whet.commit})`],
    ["git commit", manifest.git_commit ?? ""],
    ["command", manifest.command?.join(" ") ?? ""],
  ];
}

function settingsOf(settings: Readonly<Record<string, unknown>>): string[][] {
  return Object.entries(settings).map(([key, value]) => [
    key,
    Array.isArray(value) ? value.join(",") : String(value),
  ]);
}
