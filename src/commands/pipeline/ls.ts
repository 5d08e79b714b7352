import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { columns } from "../../base/text.ts";
import { command } from "../command.ts";
import { schemaNames } from "../data/schemas.ts";

export const pipelineLs = command({
  section: "pipeline",
  examples: ["whet pipeline ls", "whet pipeline ls --json"],
  details:
    "Each schema in schemas/ here or shipped with whet, each named training that has begun, and the " +
    "stages of each: done, stale where it was made from something else than is there now, found where no " +
    "pipeline made it, begun, or - for nothing.",
  settings: z.strictObject({}),
  async run(settings, io) {
    const [{ pipelineOf }, { stages }, { stateOf }] = await Promise.all([
      import("./run.ts"),
      import("./stages.ts"),
      import("./state.ts"),
    ]);
    const { own, shipped } = schemaNames();
    const folders = ["data", "models"].flatMap((kind) => {
      const path = join("training", kind);
      if (!existsSync(path)) return [];
      return readdirSync(path, { withFileTypes: true }).filter((e) => e.isDirectory())
        .map((entry) => entry.name);
    });
    const rows: string[][] = [];
    for (const name of [...new Set([...own, ...shipped, ...folders])].sort()) {
      const { pipeline, record } = pipelineOf({ ...settings, name, force: false });
      const kinds: Record<string, string> = {};
      for (const stage of stages) {
        const { kind } = await stateOf(stage, pipeline, record);
        kinds[stage.name] = kind === "missing" || kind === "idle" ? "-" : kind;
      }
      const from = own.includes(name) ? "here" : shipped.includes(name) ? "shipped" : "no schema";
      const { quant } = pipeline.asked;
      io.result({ name, schema: from, ...kinds, quant });
      rows.push([name, from, ...Object.values(kinds)]);
    }
    io.out(columns([["", "schema", ...stages.map(({ name }) => name)], ...rows]));
  },
});
