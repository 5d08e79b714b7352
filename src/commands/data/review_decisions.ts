import { Exit, Fail } from "../../base/fail.ts";
import { isObject, parseJson } from "../../base/strict_json.ts";
import { plural } from "../../base/text.ts";
import type { Act, Batch, Item } from "../../data/review.ts";
import type { SeenRow } from "../../data/review_row.ts";
import type { Io } from "../io.ts";

const KEYS: Readonly<Record<Act["what"], readonly string[]>> = {
  approve: [],
  edit: ["row"],
  reject: ["reason"],
  undo: [],
};
const SHOWN = 20;

/** What was done with a file of decisions. */
export interface Applied {
  readonly taken: number;
  /** Decided in just this way before. */
  readonly before: number;
}

/**
 * Takes the decisions of a file, all or none: one JSON object a line, {"item": 3, "what": "approve"},
 * {"item": 4, "what": "edit", "row": {…}}, {"item": 5, "what": "reject", "reason": "…"} or
 * {"item": 6, "what": "undo"}.
 * @param seen what is wrong with a row; one with faults is not approved
 * @throws Fail (data) that names every line which cannot be taken; then none was
 */
export async function applyDecisions(
  path: string,
  batch: Batch,
  by: string,
  seen: (text: string) => SeenRow,
  io: Io,
): Promise<Applied> {
  const acts: Act[] = [], wrong: string[] = [], lineOf = new Map<number, number>();
  let before = 0;
  batch.refresh();
  for await (const { number, text } of io.lines(path)) {
    if (text.trim() === "") continue;
    const act = actOf(text);
    const no = (why: string) => wrong.push(`line ${number}: ${why}`);
    if (typeof act === "string") no(act);
    else if (act.item < 1 || act.item > batch.facts.items) {
      no(`there is no item ${act.item}; items are 1 to ${batch.facts.items}`);
    } else if (lineOf.has(act.item)) {
      no(`item ${act.item} is decided on line ${lineOf.get(act.item)} already`);
    } else {
      lineOf.set(act.item, number);
      const item = batch.item(act.item);
      if (isSo(item, act)) before++;
      else {
        const why = conflict(item, act) ?? faults(item, act, seen);
        if (why === undefined) acts.push(act);
        else no(why);
      }
    }
  }
  const refuse = () => {
    const more = wrong.length > SHOWN ? [`and ${wrong.length - SHOWN} more`] : [];
    return new Fail(`${plural(wrong.length, "decision")} of ${path} cannot be taken`, {
      why: [...wrong.slice(0, SHOWN), ...more].join("\n"),
      fix: 'correct the lines; none was taken. {"item": N, "what": "undo"} lets an item wait again',
      exit: Exit.data,
    });
  };
  if (wrong.length > 0) throw refuse();
  if (acts.length === 0) return { taken: 0, before };
  // Somebody else may have been faster; what was free is decided now, and the rest is told.
  const outcomes = await batch.decide(by, acts);
  for (const { taken, act, item } of outcomes) {
    if (!taken) wrong.push(`line ${lineOf.get(act.item)}: ${conflict(item, act)}`);
  }
  if (wrong.length > 0) io.note(`meanwhile decided by others:\n${wrong.join("\n")}`);
  return { taken: acts.length - wrong.length, before };
}

function actOf(text: string): Act | string {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    return `not valid JSON: ${error instanceof Error ? error.message : error}`;
  }
  if (!isObject(value)) return "a decision is a JSON object";
  const { item, what, ...rest } = value;
  if (typeof item !== "number" || !Number.isInteger(item)) return '"item" must be a whole number';
  if (typeof what !== "string" || !Object.hasOwn(KEYS, what)) {
    return `"what" must be ${Object.keys(KEYS).join(", ")}, got ${JSON.stringify(what ?? null)}`;
  }
  const needed = KEYS[what as Act["what"]];
  const odd = Object.keys(rest).find((key) => !needed.includes(key));
  if (odd !== undefined) return `"${odd}" has no meaning with "${what}"`;
  switch (what) {
    case "edit":
      return isObject(rest.row)
        ? { item, what, text: JSON.stringify(rest.row) }
        : 'an edit needs "row", the whole row as it should be';
    case "reject":
      return typeof rest.reason === "string" && rest.reason.trim() !== ""
        ? { item, what, reason: rest.reason.trim() }
        : 'a rejection needs "reason", a text';
    default:
      return { item, what: what as "approve" | "undo" };
  }
}

/** Whether nothing would change. */
function isSo({ decision, now }: Item, act: Act): boolean {
  if (act.what === "undo") return decision === undefined;
  if (decision?.what !== act.what) return false;
  return act.what === "approve" || (act.what === "edit" ? now === act.text : true);
}

/** Who decided otherwise. */
export function conflict({ item, decision }: Item, act: Act): string | undefined {
  if (act.what === "undo" || decision === undefined) return undefined;
  const { what, by, at, reason } = decision;
  const done = { approve: "approved", edit: "edited", reject: "rejected" }[what];
  return `item ${item} was ${done} by ${by} at ${at}${reason ? `: ${reason}` : ""}`;
}

function faults(item: Item, act: Act, seen: (text: string) => SeenRow): string | undefined {
  if (act.what !== "approve" && act.what !== "edit") return undefined;
  const { problems } = seen(act.what === "edit" ? act.text : item.text);
  return problems.length === 0
    ? undefined
    : `item ${item.item} could not be trained: ${problems.join("; ")}`;
}
