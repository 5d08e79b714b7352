import { z } from "zod";
import { columns } from "../../base/text.ts";
import { field, fieldsOf, fromText } from "../../settings/field.ts";
import type { Given } from "../../settings/load.ts";
import { words } from "../../settings/load.ts";
import { sections, sectionSchemas } from "../../settings/mod.ts";
import { command } from "../command.ts";
import { layersOf } from "../train/layers.ts";

const names = Object.keys(sectionSchemas).filter(Boolean) as [string, ...string[]];

export const configShow = command({
  examples: [
    "whet config show",
    "whet config show infer",
    "whet -c my.yaml config show train --json",
  ],
  details: "Every setting of a command, its value, and the place that value comes from.",
  settings: z.strictObject({
    section: field(z.enum(names).default("train"), {
      value: "SECTION",
      positional: 0,
      help: `the settings of which command: ${names.join(", ")}`,
    }),
  }),
  async run({ section, config, set }, io) {
    const fields = [...fieldsOf(sectionSchemas[section]!), ...sections()[""]!];
    const flags: Given[] = [{ key: "set", value: set, from: "--set" }];
    if (config !== undefined) flags.push({ key: "config", value: config, from: "--config" });
    const layers = layersOf(flags, section, fields);
    const rows = fields.map((f) => {
      const given = layers.map((layer) => layer.findLast((g) => g.key === f.key)).find(Boolean);
      const value = typeof given?.value === "string"
        ? fromText(f.schema, given.value)
        : given?.value;
      return {
        key: f.key,
        value: given ? value : f.default,
        from: given?.from ?? (f.required ? "must be given" : f.info.otherwise ?? "built-in"),
      };
    });
    io.result({ section, settings: rows });
    const cells = rows.map(({ key, value, from }) => [
      `  ${key}:`,
      value === undefined ? "" : words(value),
      `# ${from}`,
    ]);
    io.out(`${section}:\n${columns(cells)}`);
  },
});
