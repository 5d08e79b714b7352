import { z } from "zod";
import { parseBytes } from "../base/text.ts";
import { sectionsField, thresholdsField } from "./answers.ts";
import { field, path, positive, whole } from "./field.ts";
import {
  checkQuant,
  computeField,
  doubleQuantField,
  modelField,
  poolingField,
  quantField,
  taskField,
  templateField,
} from "./model.ts";
import { generation } from "./use.ts";

const { max_tokens: _max, seed: _seed, ...drawing } = generation;

/** Settings of whet serve. */
export const serveSettings = z.strictObject({
  model: modelField(true),
  adapter: field(
    z.array(z.string().regex(/^([\w.:/-]+=)?[^=]+$/, "expected NAME=DIR or DIR")).default([]),
    {
      group: "Main",
      short: "a",
      aliases: ["adapter-path"],
      value: "NAME=DIR",
      many: true,
      help:
        "an adapter or run, served as a model of this name; the name is the folder's unless told",
    },
  ),
  name: field(
    z.string().regex(/^[\w.:/-]{1,100}$/, "expected letters, digits and ._:/-").default("base"),
    {
      group: "Main",
      value: "NAME",
      help: "under which name the model without adapter is served",
    },
  ),
  template: templateField(),
  prompt_lock: field(z.enum(["complete", "warn", "strict"]).default("complete"), {
    group: "Main",
    help:
      "complete puts the system prompt of the training into conversations that have none; strict " +
      "refuses another one; each answer says in its header whet-prompt how it was asked",
  }),
  embeddings: field(z.boolean().default(false), {
    group: "Main",
    help: "make embeddings too, of a model that makes answers; costs memory for --context tokens",
  }),
  pooling: poolingField(),
  task: taskField(),
  port: field(whole().max(65535).default(8080), {
    group: "Who may ask",
    value: "N",
    help: "0 takes any that is free",
  }),
  host: field(z.string().min(1).default("127.0.0.1"), {
    group: "Who may ask",
    value: "ADDRESS",
    help: "the interface to listen on; any but this machine's own needs a token",
  }),
  token_file: field(path().optional(), {
    group: "Who may ask",
    value: "FILE",
    help: "a file with the token that clients must send as their API key",
    otherwise: "WHET_SERVE_TOKEN in the environment; none on this machine's own interface",
  }),
  allow_origin: field(
    z.array(z.string().regex(/^(\*|https?:\/\/[^/]+)$/, "expected https://HOST or *"))
      .default([]),
    {
      group: "Who may ask",
      value: "ORIGIN",
      help: "origins of web pages that may ask; * is any, and needs a token",
    },
  ),
  allow_host: field(z.array(z.string().min(1)).default([]), {
    group: "Who may ask",
    value: "NAME",
    help: "further names under which clients know this machine",
  }),
  schema: field(path().optional(), {
    group: "Answers",
    value: "FILE",
    help: "hold answers to this CLI schema or JSON Schema where a request has no response_format",
  }),
  sections: sectionsField(),
  thresholds: thresholdsField(),
  ...drawing,
  seed: field(whole().max(2 ** 32 - 1).optional(), {
    group: "Generation",
    value: "N",
    help: "of the draws where --temp is above 0",
    otherwise: "another one for each request",
  }),
  max_tokens: field(whole(1).default(1024), {
    group: "Limits",
    aliases: ["max-new-tokens"],
    value: "N",
    help: "longest answer in tokens, and what a request gets that does not say",
  }),
  context: field(whole(32).default(4096), {
    group: "Limits",
    value: "N",
    help: "longest prompt and answer together, never more than the model takes",
  }),
  slots: field(whole(1).max(256).default(8), {
    group: "Limits",
    aliases: ["parallel"],
    value: "N",
    help: "answers of one model that are made side by side; each has its share of the cache",
  }),
  queue: field(whole().max(100_000).default(64), {
    group: "Limits",
    value: "N",
    help: "answers of one model that may wait for a slot; more are refused with status 429",
  }),
  timeout: field(positive().max(86_400).default(600), {
    group: "Limits",
    value: "SECONDS",
    help: "how long a request may take",
  }),
  max_body: field(
    z.coerce.string().refine(
      (text) => parseBytes(text) !== undefined,
      "expected a size such as 8MB or 16MiB",
    ).default("8MB"),
    { group: "Limits", value: "SIZE", help: "largest body of a request" },
  ),
  quant: quantField(),
  double_quant: doubleQuantField(),
  compute: computeField(),
}).superRefine(checkQuant);

export type ServeSettings = z.output<typeof serveSettings>;
