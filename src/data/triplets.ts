/** Rows of contrastive training: an anchor, what belongs to it, and what does not. */

/** A text, or its exact token ids. */
export type Text = string | readonly number[];

export interface Triplet {
  readonly anchor: Text;
  /** Missing in a pair that does not belong together. */
  readonly positive?: Text;
  readonly negative?: Text;
}

export const TRIPLET_EXAMPLE = '{"anchor":"...","positive":"...","negative":"..."}';

/**
 * A row as a triplet, or what is wrong with it: {"anchor","positive","negative"} as texts, the same keys
 * with _ids as token ids, or {"sentence1","sentence2","label"} with label 1 for a pair that belongs
 * together and 0 for one that does not.
 * @param loss of which the row is to be part: each needs other parts
 */
export function readTriplet(
  value: unknown,
  loss: "triplet" | "mnr" | "contrastive",
): Triplet | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "not an object";
  const row = value as Readonly<Record<string, unknown>>;
  const read = partsOf(row);
  if (typeof read === "string") return read;
  const { anchor, positive, negative } = read;
  if (positive !== undefined && same(positive, negative)) {
    return "the positive equals the negative: nothing can be nearer to the anchor than itself";
  }
  if (loss !== "contrastive" && positive === undefined) {
    return `there is no positive, and --loss ${loss} needs one`;
  }
  if (loss === "triplet" && negative === undefined) {
    return "there is no negative, and --loss triplet needs one; --loss mnr takes other rows' positives";
  }
  return { anchor, positive, negative };
}

function partsOf(row: Readonly<Record<string, unknown>>): Triplet | string {
  if ("sentence1" in row && "sentence2" in row) {
    const { sentence1, sentence2, label } = row;
    const first = textOf(sentence1, "sentence1"), second = textOf(sentence2, "sentence2");
    if (first.wrong !== undefined) return first.wrong;
    if (second.wrong !== undefined) return second.wrong;
    if (label !== 0 && label !== 1) return `label must be 0 or 1, found ${JSON.stringify(label)}`;
    return label === 1
      ? { anchor: first.text, positive: second.text }
      : { anchor: first.text, negative: second.text };
  }
  const ending = "anchor_ids" in row ? "_ids" : "";
  const keys = ["anchor", "positive", "negative"].map((key) => key + ending);
  const given = keys.map((key) => key in row ? textOf(row[key], key) : undefined);
  const wrong = given.find((part) => part?.wrong !== undefined)?.wrong;
  if (wrong !== undefined) return wrong;
  const [anchor, positive, negative] = given.map((part) => part?.text);
  if (anchor === undefined || (positive === undefined && negative === undefined)) {
    return `missing required fields ${
      keys.slice(0, anchor === undefined ? 1 : 2).slice(anchor === undefined ? 0 : 1).join(", ")
    }; got ${Object.keys(row).join(", ") || "none"}`;
  }
  return { anchor, positive, negative };
}

type Part =
  | { readonly text: Text; readonly wrong?: undefined }
  | { readonly text?: undefined; readonly wrong: string };

function textOf(value: unknown, key: string): Part {
  if (key.endsWith("_ids")) {
    const ids = Array.isArray(value) &&
      value.every((id) => Number.isInteger(id) && (id as number) >= 0);
    if (!ids) return { wrong: `${key} must be a list of token ids` };
    return value.length > 0 ? { text: value as number[] } : { wrong: `${key} is empty` };
  }
  if (typeof value !== "string") return { wrong: `${key} must be a text` };
  return value.trim() === "" ? { wrong: `${key} is empty` } : { text: value };
}

function same(a: Text, b: Text | undefined): boolean {
  if (b === undefined) return false;
  return typeof a === "string" && typeof b === "string"
    ? a.trim() === b.trim()
    : String(a) === String(b);
}
