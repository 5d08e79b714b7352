import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import project from "../../package.json" with { type: "json" };
import { commit } from "../base/assets.ts";
import { cacheRoots } from "../base/cache.ts";
import { writeFile } from "../base/durable.ts";
import { Fail } from "../base/fail.ts";
import type { Capabilities, Tuned } from "./device.ts";

/** What a table was measured with: another of any of these is measured anew. */
function conditions(can: Capabilities): Record<string, string> {
  const { adapter, vendor, architecture, driver, backend, compute } = can;
  const whet = `${project.version} ${commit()}`;
  return { adapter, vendor, architecture, driver, backend, compute, whet };
}

function fileName(can: Capabilities): string {
  const text = JSON.stringify(conditions(can));
  return `tuned-${createHash("sha256").update(text).digest("hex").slice(0, 16)}.json`;
}

/** The kernels that were measured on this device before, from the user's cache; empty where there are none. */
export function readTuned(can: Capabilities, roots = cacheRoots()): Tuned {
  for (const root of roots) {
    try {
      const { conditions: were, tuned } = JSON.parse(
        readFileSync(join(root, fileName(can)), "utf8"),
      );
      if (JSON.stringify(were) !== JSON.stringify(conditions(can))) continue;
      const entries = Object.entries(tuned as Record<string, unknown>);
      if (entries.every(([, way]) => typeof way === "string")) return tuned as Tuned;
    } catch {
      // not there, or damaged: measured anew
    }
  }
  return {};
}

/**
 * Adds what was measured to the user's cache.
 * @returns the file, or undefined where none of the cache's folders can be written
 */
export async function writeTuned(
  can: Capabilities,
  tuned: Tuned,
  roots = cacheRoots(),
): Promise<string | undefined> {
  const all = { ...readTuned(can, roots), ...tuned };
  const text = JSON.stringify({ conditions: conditions(can), tuned: all }, null, 2) + "\n";
  for (const root of roots) {
    try {
      const path = join(root, fileName(can));
      await writeFile(path, text);
      return path;
    } catch (error) {
      if (!(error instanceof Fail)) throw error;
    }
  }
  return undefined;
}
