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

/**
 * The text of a run.json as what it records; undefined for every other text.
 * @throws Fail (usage) for the run.json of another format
 */
export function asRecorded(text: string, name: string): Recorded | undefined {
  // Config files are YAML or JSON too, but none of them has a format.
  if (!/^\s*\{/.test(text)) return undefined;
  let content: { format?: unknown; kind?: unknown; settings?: unknown } & Record<string, unknown>;
  try {
    content = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { format, kind, settings } = content;
  if (typeof kind !== "string" || !(settings instanceof Object)) return undefined;
  if (format === 1) return content as unknown as Recorded;
  throw new Fail(`${name} has format ${format}`, {
    why: "it was written by a newer whet; this one reads format 1",
    fix: "use the newer whet",
    exit: Exit.usage,
  });
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
 * A run's settings as it was computed with them: of two that exclude each other the one that counted, and
 * those that the run worked out for itself, so that a machine with other memory does not work out others.
 */
export function counted({ settings, computed }: Recorded): Readonly<Record<string, unknown>> {
  const all: Record<string, unknown> = { ...settings };
  if (computed?.micro_tokens) all.micro_tokens = computed.micro_tokens;
  if (all.iters !== undefined) delete all.epochs;
  if (all.accum !== undefined) delete all.effective_batch;
  return all;
}

/**
 * The settings that repeat a run, as values of a config file.
 * @throws Fail (usage) for a setting that this program does not have
 */
export function fromRecord(
  name: string,
  recorded: Recorded,
  fields: readonly Field[],
): Given[] {
  const known = new Set(fields.map(({ key }) => key));
  const wanted: Record<string, unknown> = { ...counted(recorded) };
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
