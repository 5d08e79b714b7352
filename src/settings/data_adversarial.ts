import { z } from "zod";
import { field, path, whole } from "./field.ts";

/** Settings of whet data adversarial. */
export const adversarialSettings = z.strictObject({
  schema: field(path().optional(), {
    group: "Main",
    value: "S",
    help: "a schema's name or file, whose words the rows are made of",
    otherwise: "the five tests of the CCP trainings alone",
  }),
  num: field(whole(1).max(100_000).default(100), {
    group: "Main",
    short: "n",
    aliases: ["count"],
    value: "N",
    help: "rows; fewer where the schema gives no more",
  }),
  output: field(path().default("adversarial.jsonl"), {
    group: "Main",
    short: "o",
    aliases: ["out"],
    value: "FILE",
    help: "the file to write",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(42), {
    group: "Main",
    value: "N",
    help: "of what is drawn",
  }),
  force: field(z.boolean().default(false), {
    group: "Main",
    help: "write over what is there",
  }),
});

export type AdversarialSettings = z.output<typeof adversarialSettings>;
