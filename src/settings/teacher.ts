import { z } from "zod";
import { field, path, positive, whole } from "./field.ts";

/** What every command has that asks a teacher: how calls are made. */
export const callFields = {
  parallel: field(whole(1).max(64).default(1), {
    group: "Teacher",
    aliases: ["concurrency"],
    value: "N",
    help: "calls under way at once; a kill repeats no more than these",
  }),
  retries: field(whole().max(100).default(6), {
    group: "Teacher",
    value: "N",
    help: "times that a call is made again which was refused for a while or broke off",
  }),
  timeout: field(positive().max(86_400).default(300), {
    group: "Teacher",
    value: "S",
    help: "seconds until a call is given up",
  }),
};

/**
 * How answers are drawn.
 * @param answer the longest answer of a call where none is told, in words
 * @param seeded what the seed is of
 */
export const drawFields = (answer: string, seeded: string) => ({
  max_tokens: field(whole(16).optional(), {
    group: "Teacher",
    value: "N",
    help: "longest answer of a call in tokens",
    otherwise: answer,
  }),
  temp: field(z.number().min(0).max(100).default(0.8), {
    group: "Teacher",
    aliases: ["temperature"],
    value: "T",
    help: "of a local teacher: 0 takes the likeliest token, higher is more varied",
  }),
  seed: field(whole().max(2 ** 32 - 1).default(1), {
    group: "Teacher",
    value: "N",
    help: seeded,
  }),
});

/** What they may use. */
export const budgetFields = {
  max_calls: field(whole(1).optional(), {
    group: "Budget",
    value: "N",
    help: "most calls, restarts and repetitions included",
    otherwise: "three times what is needed, and 10",
  }),
  max_tokens_total: field(whole(1).optional(), {
    group: "Budget",
    value: "N",
    help: "most tokens, prompts and answers; no call is made that could exceed it",
  }),
  max_cost: field(positive().optional(), {
    group: "Budget",
    value: "USD",
    help: "most dollars; no call is made that could exceed it",
  }),
  price_in: field(z.number().min(0).optional(), {
    group: "Budget",
    value: "USD",
    help: "price of a million prompt tokens",
    otherwise: "from a list, for well-known models",
  }),
  price_out: field(z.number().min(0).optional(), {
    group: "Budget",
    value: "USD",
    help: "price of a million answer tokens",
    otherwise: "from a list, for well-known models",
  }),
};

/** Asking by hand instead. */
export const handFields = {
  emit_prompts: field(path().optional(), {
    group: "By hand",
    value: "DIR",
    help: "write the prompts as files, to be put to any model in any window",
    excludes: ["import"],
  }),
  import: field(z.array(path()).default([]), {
    group: "By hand",
    value: "FILES",
    help: "files with what came back, joined by commas",
  }),
};

export interface CallSettings {
  readonly parallel: number;
  readonly retries: number;
  readonly timeout: number;
  readonly max_calls?: number;
  readonly max_tokens_total?: number;
  readonly max_cost?: number;
  readonly price_in?: number;
  readonly price_out?: number;
}
