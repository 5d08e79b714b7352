import { z } from "zod";
import { field } from "./field.ts";
import { pipelineSettings } from "./pipeline.ts";

export const TEMPLATES = ["cli", "json", "cot", "dpo", "embed"] as const;

/** Whole trainings that are shipped: a config, and rows of its own. */
export const RECIPES = [
  "ccp-v1",
  "ccp-v2",
  "underwriting",
  "gemma-json",
  "cogniverse-routing",
  "clitron",
] as const;

/** Settings of whet init. */
export const initSettings = z.strictObject({
  name: field(pipelineSettings.shape.name.optional(), {
    group: "Main",
    value: "NAME",
    positional: 0,
    help: "what is trained: the name of schema, data and models",
    otherwise: "that of this folder",
  }),
  template: field(z.enum([...TEMPLATES, ...RECIPES]).default("cli"), {
    group: "Main",
    short: "t",
    help:
      "what to begin with: cli (a command line's schema), json (requests and JSON answers), cot " +
      "(answers that reason), dpo (pairs of answers), embed (triplets of texts), or a whole recipe " +
      `with its rows: ${RECIPES.join(", ")}`,
  }),
  force: field(z.boolean().default(false), {
    group: "Main",
    help: "write over files that are there",
  }),
});

export type InitSettings = z.output<typeof initSettings>;
