import { z } from "zod";
import { field, fraction } from "./field.ts";

/** Settings that say how an answer is read: of infer and of eval. */

/** Keys of an answer beside its sections. */
const TAKEN = ["ids", "text", "finish_reason", "confidence", "action", "error", "_valid"];

export const sectionsField = () =>
  field(
    z.array(
      z.string().regex(/^[A-Za-z_][\w-]*$/, "expected names of tags, such as reasoning,intent_ir"),
    ).min(1).refine((tags) => !tags.some((tag) => TAKEN.includes(tag)), {
      error: `these are keys of every answer: ${TAKEN.join(", ")}`,
    }).refine((tags) => new Set(tags).size === tags.length, "a tag is named twice")
      .optional(),
    {
      group: "Answers",
      value: "TAGS",
      help: "answers come in sections <tag>…</tag> named here, that with the JSON last: " +
        "reasoning,intent_ir",
    },
  );

/** How an answer is used by its confidence, where nothing else is said. */
export const THRESHOLDS = [0.9, 0.7, 0.5] as const;

export const thresholdsField = () =>
  field(
    z.tuple([fraction(), fraction(), fraction()])
      .refine(([a, b, c]) => a >= b && b >= c, "must not rise: execute,confirm,clarify").optional(),
    {
      group: "Answers",
      value: "A,B,C",
      help:
        "the least confidence to execute, to execute once confirmed, and to offer suggestions; " +
        "below the last the user is asked: .9,.7,.5",
    },
  );
