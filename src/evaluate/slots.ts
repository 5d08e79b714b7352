import { isObject } from "../base/strict_json.ts";
import { canonicalJson } from "./metrics.ts";

/**
 * Answers slot by slot. A slot is a path to a value that is no object: `args.crop`. A list is the set of
 * its elements, `flags[]`; an element that is an object stays whole, so that what belongs together does.
 */

/** Precision, recall and F1 of values found against values wanted. */
export interface F1 {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

export interface Slot extends F1 {
  /** Answers that ought to have the slot. */
  readonly of: number;
  /** The share of them whose values of it are all there and none beside. */
  readonly accuracy: number;
}

export type Pair = readonly [got: unknown, want: unknown];

/** The values of an answer by path, each as JSON, without repetition. */
export function slotsOf(answer: unknown): Map<string, Set<string>> {
  const slots = new Map<string, Set<string>>();
  const put = (path: string, value: unknown) => {
    const values = slots.get(path) ?? new Set();
    slots.set(path, values.add(canonicalJson(unordered(value))));
  };
  const walk = (path: string, value: unknown) => {
    if (Array.isArray(value)) { for (const one of value) put(`${path}[]`, one); }
    else if (isObject(value)) {
      for (const [key, inner] of Object.entries(value)) walk(path ? `${path}.${key}` : key, inner);
    } else if (value !== undefined) put(path, value);
  };
  walk("", answer);
  return slots;
}

/** Of one answer, over all slots but those that state a confidence; 1 where both have none. */
export function answerF1(pair: Pair): number {
  const { found, given, wanted } = counts(pair).filter(([path]) => !isConfidence(path))
    .reduce((sum, [, c]) => add(sum, c), NOTHING);
  return given + wanted === 0 ? 1 : f1(found, given, wanted).f1;
}

/** Over all answers together: of every slot, and of all but those that state a confidence. */
export function slotMetrics(pairs: readonly Pair[]): { all: F1; slots: Map<string, Slot> } {
  const sums = new Map<string, Counts & { of: number; right: number }>();
  for (const pair of pairs) {
    for (const [path, c] of counts(pair)) {
      const sum = sums.get(path) ?? { ...NOTHING, of: 0, right: 0 };
      const right = c.found === c.given && c.found === c.wanted;
      sums.set(path, {
        ...add(sum, c),
        of: sum.of + (c.wanted > 0 ? 1 : 0),
        right: sum.right + (c.wanted > 0 && right ? 1 : 0),
      });
    }
  }
  const all = [...sums].filter(([path]) => !isConfidence(path))
    .reduce((sum, [, c]) => add(sum, c), NOTHING);
  const slots = [...sums].map(([path, { found, given, wanted, of, right }]) =>
    [path, { ...f1(found, given, wanted), of, accuracy: of === 0 ? 0 : right / of }] as const
  );
  return { all: f1(all.found, all.given, all.wanted), slots: new Map(slots) };
}

/** Whether a path states how sure the answer is, rather than what it says. */
export const isConfidence = (path: string) => /^confidence(_scores)?(\.|$)/.test(path);

interface Counts {
  readonly found: number;
  readonly given: number;
  readonly wanted: number;
}

const NOTHING: Counts = { found: 0, given: 0, wanted: 0 };

const add = (a: Counts, b: Counts): Counts => ({
  found: a.found + b.found,
  given: a.given + b.given,
  wanted: a.wanted + b.wanted,
});

function counts([got, want]: Pair): [string, Counts][] {
  const given = slotsOf(got), wanted = slotsOf(want);
  return [...new Set([...wanted.keys(), ...given.keys()])].map((path) => {
    const [g, w] = [given.get(path), wanted.get(path)];
    const found = g && w ? [...g].filter((value) => w.has(value)).length : 0;
    return [path, { found, given: g?.size ?? 0, wanted: w?.size ?? 0 }];
  });
}

/** Nothing found is 0, also where nothing was given or wanted. */
function f1(found: number, given: number, wanted: number): F1 {
  const share = (of: number) => of === 0 ? 0 : found / of;
  return {
    precision: share(given),
    recall: share(wanted),
    f1: given + wanted === 0 ? 0 : (2 * found) / (given + wanted),
  };
}

/** Lists inside a value put in order, so that as sets they are equal. */
function unordered(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(unordered).map((one) => [canonicalJson(one), one] as const)
      .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, one]) => one);
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, unordered(one)]));
}
