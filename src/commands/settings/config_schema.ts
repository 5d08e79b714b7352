import { z } from "zod";
import { configJsonSchema } from "../../settings/mod.ts";
import { command } from "../command.ts";

export const configSchema = command({
  examples: ["whet config schema > whet.schema.json"],
  details: "The JSON Schema of whet.yaml and of --config files. With a first line " +
    '"# yaml-language-server: $schema=whet.schema.json" an editor completes and checks the keys.',
  settings: z.strictObject({}),
  async run(_, io) {
    io.data(JSON.stringify(configJsonSchema(), null, io.json ? undefined : 2));
  },
});
