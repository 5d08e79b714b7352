import { isObject } from "../base/strict_json.ts";
import { confidenceOf } from "./calibration.ts";

/** What a program does with an answer, the most daring first. */
export const ACTIONS = ["execute", "confirm", "clarify", "ask"] as const;
export type Action = (typeof ACTIONS)[number];

/** The least confidence to execute, to execute once confirmed, and to offer suggestions. */
export type Thresholds = readonly [execute: number, confirm: number, clarify: number];

/**
 * Where an answer goes by its confidence: at 0.9 a command is executed, from 0.7 once the user confirms it,
 * from 0.5 its suggestions are shown, below that the user is asked anew. An answer that is a clarification
 * is never executed, one without a confidence or that is no JSON object is never believed.
 * @param answer the parsed answer; undefined where it could not be parsed
 */
export function actionOf(answer: unknown, [execute, confirm, clarify]: Thresholds): Action {
  const confidence = confidenceOf(answer);
  if (confidence === undefined || confidence < clarify) return "ask";
  if ((isObject(answer) && answer.type === "clarification") || confidence < confirm) {
    return "clarify";
  }
  return confidence < execute ? "confirm" : "execute";
}

/** Counts of pairs: `counts[r][c]` has the expected name r and the given name c. */
export interface Confusion {
  readonly names: readonly string[];
  readonly counts: readonly (readonly number[])[];
}

/** Expected against given, by name; names in the order given, others behind by how often they are expected. */
export function confusion(
  pairs: readonly (readonly [expected: string, given: string])[],
  first: readonly string[] = [],
): Confusion {
  const often = new Map<string, number>();
  for (const [expected, given] of pairs) {
    often.set(expected, (often.get(expected) ?? 0) + 1);
    often.set(given, often.get(given) ?? 0);
  }
  const rest = [...often.keys()].filter((name) => !first.includes(name))
    .sort((a, b) => often.get(b)! - often.get(a)! || (a < b ? -1 : 1));
  const names = [...first, ...rest], at = new Map(names.map((name, i) => [name, i]));
  const counts = names.map(() => names.map(() => 0));
  for (const [expected, given] of pairs) counts[at.get(expected)!]![at.get(given)!]!++;
  return { names, counts };
}
