import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFile } from "../base/durable.ts";

const entry = z.strictObject({
  /** Name of the file, or of the first of its parts, or of the folder. */
  file: z.string(),
  /** "q4_k_m". */
  format: z.string(),
  bytes: z.number(),
  sha256: z.string().optional(),
  /** It was rounded by an importance matrix. */
  imatrix: z.string().optional(),
  /** How predictions differ from those of the trained model, where that was measured. */
  drift: z.strictObject({
    /** Mean KL divergence, nats a token. */
    kl_mean: z.number(),
    /** Share of predictions whose likeliest token is the same. */
    same_top: z.number(),
    places: z.number(),
    passed: z.boolean(),
  }).optional(),
  /** ISO 8601, UTC. */
  at: z.string(),
});
/** A file that was exported from a run. */
export type ExportEntry = z.output<typeof entry>;

const FILE = "exports.json";
const schema = z.strictObject({ format: z.literal(1), exports: z.array(entry) });

/** What was exported from a run, oldest first; none where nothing was or the file is not understood. */
export function readExports(path: string): ExportEntry[] {
  const file = join(path, FILE);
  if (!existsSync(file)) return [];
  try {
    return schema.parse(JSON.parse(readFileSync(file, "utf8"))).exports;
  } catch {
    return [];
  }
}

/** Adds one; an earlier one of the same name was written over, and is no more. */
export async function addExport(path: string, added: ExportEntry): Promise<void> {
  const exports = [...readExports(path).filter(({ file }) => file !== added.file), added];
  await writeFile(join(path, FILE), JSON.stringify({ format: 1, exports }, null, 2) + "\n");
}
