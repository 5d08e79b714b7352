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

interface FieldCount {
  rows: number;
  /** Undefined once there were too many, or a long one. */
  values?: Map<string, number>;
}

/** By field. */
export type Counted = Map<string, FieldCount>;

function countValue(field: FieldCount, value: string, rows: number): void {
  if (!field.values) return;
  field.values.set(value, (field.values.get(value) ?? 0) + rows);
  if (value.length > LONGEST_LABEL || field.values.size > MOST_VALUES) delete field.values;
}

/** Counts labels and slots: the fields of answers that are JSON objects, or short answers as they are. */
export class Balance {
  readonly #fields: Counted = new Map();

  /** @param most fields that are counted; those that come after them are not */
  constructor(readonly most: number = MOST_FIELDS) {}

  /** What was counted, fields in the order in which they came. */
  get counted(): Counted {
    return this.#fields;
  }

  /**
   * Counts what another one counted of the rows that follow: the same as if they were added here,
   * where the other one had no limit of its own.
   */
  take(counted: Counted): void {
    for (const [field, { rows, values }] of counted) {
      const found = this.#field(field);
      if (!found) continue;
      found.rows += rows;
      if (!values) delete found.values;
      for (const [value, n] of values ?? []) countValue(found, value, n);
    }
  }

  add(answer: string): void {
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

  #field(field: string): FieldCount | undefined {
    let found = this.#fields.get(field);
    if (!found) {
      if (this.#fields.size >= this.most) return undefined;
      found = { rows: 0, values: new Map() };
      this.#fields.set(field, found);
    }
    return found;
  }

  #count(field: string, value: string | undefined) {
    const found = this.#field(field);
    if (!found) return;
    found.rows++;
    if (value !== undefined) countValue(found, value, 1);
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
