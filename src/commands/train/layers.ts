import { existsSync } from "node:fs";
import type { Field } from "../../settings/field.ts";
import {
  fromEnvironment,
  fromSet,
  type Given,
  type Layer,
  readConfig,
} from "../../settings/load.ts";
import { sections } from "../../settings/mod.ts";
import { asRecorded, fromRecord } from "../../settings/recorded.ts";
import { readText } from "../io.ts";

/**
 * The places from which settings come, the strongest first: flags, --set, WHET_* variables, the --config
 * file (or run.json, which stands for all of a run), whet.yaml in this folder.
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
  const read = (path: string) => readText(path, "the config file");
  const config = named === undefined ? undefined : read(named);
  const recorded = config === undefined ? undefined : asRecorded(config, named!);
  const parse = (path: string, text: string) => readConfig(path, text, known, section ?? "");
  const mine = [...known[""]!, ...(known[section ?? ""] ?? [])];
  return [
    flags,
    fromSet(pairs, known, section ?? ""),
    fromEnvironment(fields, process.env),
    config === undefined
      ? []
      : recorded
      ? fromRecord(named!, recorded, mine)
      : parse(named!, config),
    // A recorded run is all there is to be known: what it left to its defaults stays there.
    existsSync("whet.yaml") && !recorded ? parse("whet.yaml", read("whet.yaml")) : [],
  ];
}
