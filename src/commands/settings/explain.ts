import { z } from "zod";
import { Exit, Fail } from "../../base/fail.ts";
import { wrap } from "../../base/text.ts";
import { field } from "../../settings/field.ts";
import { command } from "../command.ts";
import { exits, explain, explanations } from "./explanations.ts";

export const explainCode = command({
  examples: ["whet explain WH0203", "whet explain 4"],
  settings: z.strictObject({
    code: field(z.string().optional(), {
      value: "CODE",
      positional: 0,
      help: "an error code (WH0203) or an exit code (4); without one, all are listed",
    }),
  }),
  async run({ code }, io) {
    if (code === undefined) {
      io.out("Exit codes");
      for (const [exit, { title }] of Object.entries(exits)) io.out(`  ${exit.padEnd(8)}${title}`);
      io.out(
        "  130     stopped by Ctrl-C, checkpoint written\n  143     stopped by SIGTERM, the same",
      );
      io.out("\nErrors");
      for (const [name, { title }] of Object.entries(explanations)) io.out(`  ${name}  ${title}`);
      io.result({ exits, errors: explanations });
      return;
    }
    const found = explain(code);
    if (!found) {
      throw new Fail(`unknown code "${code}"`, {
        why: "codes look like WH0203, exit codes are numbers from 0 to 12",
        fix: "whet explain lists all of them",
        code: "WH0213",
        exit: Exit.usage,
      });
    }
    io.out(`${code}: ${found.title}\n`);
    for (const line of wrap(found.text, 96)) io.out(line);
    io.result({ code, ...found });
  },
});
