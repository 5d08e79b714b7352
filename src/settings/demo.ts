import { z } from "zod";
import { field, path, positive, whole } from "./field.ts";

/** What the demo lets one change; everything has a value, because it must run without arguments. */
export const demoSettings = z.strictObject({
  output: field(path().default("whet-demo"), {
    group: "Main",
    short: "o",
    aliases: ["output-dir"],
    value: "DIR",
    help: "where everything is written; a number is added where it exists",
  }),
  rows: field(whole(20).max(100_000).default(5200), {
    group: "Main",
    value: "N",
    help: "training rows",
  }),
  tests: field(whole(10).max(10_000).default(120), {
    group: "Main",
    value: "N",
    help: "test rows, whose phrasings no training row uses",
  }),
  epochs: field(positive().default(1), { group: "Main", value: "N", help: "passes over the rows" }),
  lr: field(positive().default(3e-3), { group: "Main", value: "R", help: "peak learning rate" }),
  rank: field(whole(1).max(128).default(16), {
    group: "Main",
    value: "N",
    help: "rank of the adapter",
  }),
  batch: field(whole(1).default(8), { group: "Main", value: "N", help: "rows in a step" }),
  seed: field(whole().max(2 ** 32 - 1).default(1), {
    group: "Main",
    value: "N",
    help: "of it all",
  }),
});
