import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFile } from "../base/durable.ts";

/** A name that a person gave a run. With a version it is the one run of that name and version. */
export interface Tag {
  readonly name: string;
  /** "v1.0". */
  readonly version?: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Of the weights that were meant. */
  readonly sha256?: string;
}

const FILE = "tags.json";
const schema = z.strictObject({
  format: z.literal(1),
  tags: z.array(z.strictObject({
    name: z.string(),
    version: z.string().optional(),
    at: z.string(),
    sha256: z.string().optional(),
  })),
});

/** The tags of a run folder, oldest first; none where the file is missing or not understood. */
export function readTags(path: string): Tag[] {
  const file = join(path, FILE);
  if (!existsSync(file)) return [];
  try {
    return schema.parse(JSON.parse(readFileSync(file, "utf8"))).tags;
  } catch {
    return [];
  }
}

export async function writeTags(path: string, tags: readonly Tag[]): Promise<void> {
  await writeFile(join(path, FILE), JSON.stringify({ format: 1, tags }, null, 2) + "\n");
}

/** "garden:v1.0", or "candidate". */
export function labelOf({ name, version }: Pick<Tag, "name" | "version">): string {
  return version === undefined ? name : `${name}:${version}`;
}

const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,99}$/u;
const VERSION = /^v\d{1,6}(\.\d{1,6}){0,2}$/;

/**
 * What was typed as a tag: "garden:v1.0", "v1.0" (of `own`), or a name without a version.
 * @returns undefined where it is none of these
 */
export function parseLabel(
  text: string,
  own: string,
): { readonly name: string; readonly version?: string } | undefined {
  if (VERSION.test(text)) return { name: own, version: text };
  const colon = text.lastIndexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const version = colon < 0 ? undefined : text.slice(colon + 1);
  if (!NAME.test(name) || version !== undefined && !VERSION.test(version)) return undefined;
  return version === undefined ? { name } : { name, version };
}

/** The version after all of these: v1.0 first, then one more in the last place of the highest. */
export function nextVersion(versions: readonly string[]): string {
  const numbers = versions.filter((v) => VERSION.test(v)).map((v) =>
    v.slice(1).split(".").map(Number)
  );
  const highest =
    numbers.sort((a, b) =>
      (b[0]! - a[0]!) || ((b[1] ?? 0) - (a[1] ?? 0)) || ((b[2] ?? 0) - (a[2] ?? 0))
    )[0];
  if (!highest) return "v1.0";
  const last = highest.length === 1 ? [highest[0]!, 1] : [
    ...highest.slice(0, -1),
    highest.at(-1)! + 1,
  ];
  return `v${last.join(".")}`;
}
