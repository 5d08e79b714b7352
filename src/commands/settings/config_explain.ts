import { z } from "zod";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, suggest } from "../../base/text.ts";
import { field, wanted } from "../../settings/field.ts";
import { words } from "../../settings/load.ts";
import { sections } from "../../settings/mod.ts";
import { command } from "../command.ts";

export const configExplain = command({
  examples: ["whet config explain lr"],
  settings: z.strictObject({
    key: field(z.string().min(1), {
      value: "KEY",
      positional: 0,
      help: "a key of a config file, or a flag",
    }),
  }),
  async run(settings, io) {
    const key = settings.key.replace(/^-+/, "").replaceAll("-", "_").replace(/^.*\./, "");
    const known = sections();
    const uses = Object.entries(known).flatMap(([section, fields]) =>
      fields.filter((f) => f.key === key || f.info.aliases?.includes(key.replaceAll("_", "-")))
        .map((f) => ({ section, f }))
    );
    if (uses.length === 0) {
      const near = suggest(key, Object.values(known).flat().map((f) => f.key));
      throw new Fail(`unknown setting "${settings.key}"`, {
        why: near ? `did you mean "${near}"?` : "no command has it",
        fix: near ? `whet config explain ${near}` : "whet config schema lists every key",
        code: "WH0203",
        exit: Exit.usage,
      });
    }
    for (const { section, f } of uses) {
      const facts = {
        key: section ? `${section}.${f.key}` : f.key,
        help: f.info.help,
        takes: wanted(f.schema),
        default: f.info.otherwise ?? (f.default === undefined ? "none" : words(f.default)),
        flags: [
          ...(f.info.short ? [`-${f.info.short}`] : []),
          f.flag,
          ...(f.info.aliases ?? []).map((a) => `--${a}`),
        ].join(" "),
        environment: `WHET_${f.key.toUpperCase()}`,
      };
      io.result(facts);
      io.out(columns(Object.entries(facts).map(([name, text]) => [name, text])) + "\n");
    }
  },
});
