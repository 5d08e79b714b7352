import { isObject } from "../base/strict_json.ts";

/** Values of a field that are counted apart; with more the field is no label. */
const MOST_VALUES = 100;
const MOST_FIELDS = 200;
const LONGEST_LABEL = 60;

/** How often each value of a field occurs. */
export interface FieldBalance {
  readonly field: string;
  /** Rows whose answer has the field. */
  readonly rows: number;
  /** The most frequent first; undefined where there are too many, or long ones, to be labels. */
  readonly values?: readonly (readonly [value: string, rows: number])[];
}

/** Counts labels and slots: the fields of answers that are JSON objects, or short answers as they are. */
export class Balance {
  #rows = 0;
  #fields = new Map<string, { rows: number; values?: Map<string, number> }>();

  add(answer: string): void {
    this.#rows++;
    const object = answer.startsWith("{") ? objectOf(answer) : undefined;
    if (object === undefined) this.#count("answer", answer);
    else this.#object(object, "");
  }

  #object(object: Readonly<Record<string, unknown>>, above: string) {
    for (const [key, value] of Object.entries(object)) {
      const field = above + key;
      if (isObject(value)) this.#object(value, `${field}.`);
      else if (Array.isArray(value)) this.#count(field, value.length === 0 ? "none" : undefined);
      else this.#count(field, String(value));
    }
  }

  #count(field: string, value: string | undefined) {
    let found = this.#fields.get(field);
    if (!found) {
      if (this.#fields.size >= MOST_FIELDS) return;
      found = { rows: 0, values: new Map() };
      this.#fields.set(field, found);
    }
    found.rows++;
    if (!found.values || value === undefined) return;
    found.values.set(value, (found.values.get(value) ?? 0) + 1);
    if (value.length > LONGEST_LABEL || found.values.size > MOST_VALUES) delete found.values;
  }

  /** Fields by how many rows have them. */
  fields(): FieldBalance[] {
    return [...this.#fields].map(([field, { rows, values }]) => ({
      field,
      rows,
      // As many values as rows are no labels either.
      ...(values && values.size > 0 && (values.size <= 2 || 2 * values.size <= rows)
        ? { values: [...values].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)) }
        : {}),
    })).sort((a, b) => b.rows - a.rows);
  }
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
