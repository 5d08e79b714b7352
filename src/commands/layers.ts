import { existsSync } from "node:fs";
import type { Field } from "../settings/field.ts";
import { fromEnvironment, fromSet, type Given, type Layer, readConfig } from "../settings/load.ts";
import { sections } from "../settings/mod.ts";
import { readText } from "./io.ts";

/**
 * The places from which settings come, the strongest first: flags, --set, WHET_* variables, the --config
 * file, whet.yaml in this folder.
 * @param section of the config files that serves the command
 * @param fields whose environment variables count
 */
export function layersOf(
  flags: readonly Given[],
  section: string | undefined,
  fields: readonly Field[],
): Layer[] {
  const known = sections();
  const pairs = flags.filter((g) => g.key === "set").flatMap((g) => g.value as string[]);
  const named = flags.findLast((g) => g.key === "config")?.value as string | undefined;
  const read = (path: string) =>
    readConfig(path, readText(path, "the config file"), known, section ?? "");
  return [
    flags,
    fromSet(pairs, known, section ?? ""),
    fromEnvironment(fields, process.env),
    named === undefined ? [] : read(named),
    existsSync("whet.yaml") ? read("whet.yaml") : [],
  ];
}
