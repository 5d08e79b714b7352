import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { sha256 } from "../../base/sha256.ts";
import type { Row } from "./row.ts";

/** How far a project was read, and which rows were made of it. */
export interface Watermark {
  readonly format: 1;
  readonly server: string;
  readonly project: string;
  readonly kind: string;
  readonly agent: string | null;
  /** When the newest span began that was read, ISO 8601. */
  readonly until: string | null;
  /** The rows that were written, by the first 16 digits of their SHA-256. */
  readonly taken: readonly string[];
}

/** @throws Fail (data) where the file is something else */
export function readWatermark(path: string): Watermark | undefined {
  if (!existsSync(path)) return undefined;
  let found: Partial<Watermark> | null;
  try {
    found = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    found = null;
  }
  const good = found?.format === 1 && typeof found.server === "string" &&
    typeof found.project === "string" && typeof found.kind === "string" &&
    (found.until === null || !Number.isNaN(Date.parse(found.until ?? ""))) &&
    Array.isArray(found.taken);
  if (good) return found as Watermark;
  throw new Fail(`${path} is no watermark`, {
    why: "it does not hold what whet data from-phoenix writes",
    fix: "--watermark with another file, or --force to begin afresh",
    exit: Exit.data,
  });
}

export async function writeWatermark(path: string, mark: Watermark): Promise<void> {
  await writeFile(path, JSON.stringify(mark) + "\n");
}

/** What makes a row the row it is; who judged it, and when, does not. */
export const markOf = ({ metadata: _, ...row }: Row): string =>
  sha256(JSON.stringify(row)).slice(0, 16);
