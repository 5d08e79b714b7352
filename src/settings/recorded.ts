import { Exit, Fail } from "../base/fail.ts";
import { excerpt } from "../base/text.ts";
import type { Field } from "./field.ts";
import type { Given } from "./load.ts";

/** What --config wants of a run.json. */
export interface Recorded {
  readonly kind: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly computed?: { readonly micro_tokens?: number };
}

/** The text of a run.json as what it records; undefined for every other text. */
export function asRecorded(text: string): Recorded | undefined {
  // Config files are YAML or JSON too, but none of them has a format.
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const { format, kind, settings, computed } = JSON.parse(text);
    const known = format === 1 && typeof kind === "string" && settings instanceof Object;
    return known ? { kind, settings, computed } : undefined;
  } catch {
    return undefined;
  }
}

/** Settings that say where a run went and how it was watched: a repetition has its own. */
export const OWN = new Set([
  "output",
  "resume",
  "allow_change",
  "config",
  "yes",
  "dry_run",
  "log_file",
  "ui",
  "ui_port",
]);

/**
 * The settings that repeat a run, as values of a config file. Settings that the run worked out for itself
 * are given too, so that a machine with other memory does not work out others.
 * @throws Fail (usage) for a setting that this program does not have
 */
export function fromRecord(
  name: string,
  { settings, computed }: Recorded,
  fields: readonly Field[],
): Given[] {
  const known = new Set(fields.map(({ key }) => key));
  const wanted: Record<string, unknown> = {
    ...(computed?.micro_tokens ? { micro_tokens: computed.micro_tokens } : {}),
    ...settings,
  };
  // Of two that exclude each other, the one that the run was computed with.
  if (wanted.iters !== undefined) delete wanted.epochs;
  if (wanted.accum !== undefined) delete wanted.effective_batch;
  // All weights were trained: there were no targets.
  if (Array.isArray(wanted.target) && wanted.target.length === 0) delete wanted.target;
  const given = Object.entries(wanted).filter(([key]) => !OWN.has(key));
  const strange = given.map(([key]) => key).filter((key) => !known.has(key));
  if (strange.length > 0) {
    throw new Fail(`${name} was recorded by another whet`, {
      why: `it has settings that this one does not know: ${excerpt(strange.join(", "), 120)}`,
      fix:
        "repeat it with the version that run.json names, or write its settings into a config file",
      code: "WH0203",
      exit: Exit.usage,
    });
  }
  return given.map(([key, value]) => ({ key, value, from: `${name}: ${key}` }));
}
