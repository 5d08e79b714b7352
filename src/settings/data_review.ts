import { z } from "zod";
import { field, path, whole } from "./field.ts";

/** Settings of whet data review. */
export const dataReviewSettings = z.strictObject({
  batch: field(path().default("ls"), {
    group: "Main",
    value: "FILE|BATCH",
    positional: 0,
    help: "rows to be reviewed (JSONL or a JSON array), or a batch that waits; ls lists them",
  }),
  queue: field(path().default("training/review"), {
    group: "Main",
    value: "DIR",
    help: "the folder of the batches",
  }),
  by: field(z.string().trim().min(1).max(200).optional(), {
    group: "Main",
    value: "NAME",
    help: "who decides, as the log will say",
    otherwise: "the name you are logged in with",
  }),
  export: field(path().optional(), {
    group: "Main",
    short: "o",
    aliases: ["output", "out"],
    value: "FILE",
    help: "write the approved rows, once no row waits",
  }),
  schema: field(path().optional(), {
    group: "Main",
    value: "SCHEMA",
    help: "with FILE: what answers must be; approved rows must satisfy it",
  }),
  agent: field(z.string().min(1).max(100).optional(), {
    group: "Main",
    aliases: ["optimizer"],
    value: "NAME",
    help: "with FILE: what the rows are for, a part of the batch's name",
    otherwise: "the file's name",
  }),
  web: field(z.boolean().default(false), {
    group: "Ways",
    help: "a page on this machine instead of the terminal",
  }),
  port: field(whole().max(65535).default(0), {
    group: "Ways",
    value: "N",
    help: "port of that page; 0 takes any that is free",
  }),
  non_interactive: field(z.boolean().default(false), {
    group: "Ways",
    help: "ask nobody: take --decisions if given, and exit 10 where rows wait",
  }),
  decisions: field(path().optional(), {
    group: "Ways",
    value: "FILE",
    help: 'decisions as JSON lines: {"item": 3, "what": "approve"}; needs no terminal',
    excludes: ["web"],
  }),
});
