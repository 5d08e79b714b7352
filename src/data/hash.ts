import { createHash } from "node:crypto";
import type { SftExample } from "./rows.ts";

/**
 * SHA-256 of a dataset's content, in order. Where a row stands in its file, and how the file is laid
 * out, do not matter; what would be trained does.
 */
export function datasetHash(examples: Iterable<SftExample>): string {
  const hash = createHash("sha256");
  for (const example of examples) hash.update(canonical(example)).update("\n");
  return hash.digest("hex");
}

/** SHA-256 of rows as they are trained: what tokenizer, template, limit on length and loss make of them. */
export function tokensHash(
  rows: Iterable<{
    readonly ids: readonly number[];
    readonly labels: readonly number[];
    readonly weights?: readonly number[];
  }>,
): string {
  const hash = createHash("sha256");
  for (const { ids, labels, weights } of rows) {
    hash.update(Int32Array.of(ids.length)).update(Int32Array.from(ids)).update(
      Int32Array.from(labels),
    );
    if (weights) hash.update(Float64Array.from(weights));
  }
  return hash.digest("hex");
}

/** SHA-256 of one row's content. */
export function rowHash(example: SftExample): string {
  return createHash("sha256").update(canonical(example)).digest("hex");
}

/** The same, blind to case, width of spaces and Unicode form: near copies share it. */
export function looseRowHash(example: SftExample): string {
  const { line: _, ...content } = example;
  const loose = (value: unknown) =>
    typeof value === "string"
      ? value.normalize("NFKC").toLowerCase().replace(/\s+/gu, " ").trim()
      : value;
  const text = JSON.stringify(sorted(content), (_, value) => loose(value));
  return createHash("sha256").update(text).digest("hex");
}

/** Rows of `held` that also stand in `train`: line pairs, exact copies and near copies apart. */
export function leaks(
  train: readonly SftExample[],
  held: readonly SftExample[],
): { exact: [number, number][]; near: [number, number][] } {
  const exactAt = new Map(train.map((row) => [rowHash(row), row.line]));
  const nearAt = new Map(train.map((row) => [looseRowHash(row), row.line]));
  const exact: [number, number][] = [];
  const near: [number, number][] = [];
  for (const row of held) {
    const same = exactAt.get(rowHash(row));
    const alike = nearAt.get(looseRowHash(row));
    if (same !== undefined) exact.push([same, row.line]);
    else if (alike !== undefined) near.push([alike, row.line]);
  }
  return { exact, near };
}

function canonical(example: SftExample): string {
  const { line: _, ...content } = example;
  return JSON.stringify(sorted(content));
}

/** Keys in order all the way down. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
