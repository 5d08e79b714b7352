import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { asset } from "../../base/assets.ts";
import { Fail } from "../../base/fail.ts";
import { fieldsOf, type SettingsSchema } from "../../settings/field.ts";
import { type Given, type Layer, resolve } from "../../settings/load.ts";
import { readTrainingConfig } from "../../settings/training_config.ts";
import type { Io } from "../io.ts";
import { layersOf } from "../train/layers.ts";
import { table } from "../mod.ts";
import type { Pipeline } from "./stage.ts";

/** Settings of this pipeline's own. */
export const given = (values: Readonly<Record<string, unknown>>, from: string): Given[] =>
  Object.entries(values).map(([key, value]) => ({ key, value, from }));

/** The settings of each stage's command; the strongest places come first. */
export function layers(
  p: Pipeline,
  section: string,
  fields: SettingsSchema,
  own: Layer,
  base: Layer[],
) {
  const { config, set } = p.common;
  const typed = given({ ...(config ? { config } : {}), ...(set.length > 0 ? { set } : {}) }, "");
  const all = layersOf(typed, section, fieldsOf(fields));
  // whet.yaml is the last of them: files that are for this stage say it more closely.
  return [own, ...all.slice(0, -1), ...base.slice(0, 1), ...all.slice(-1), ...base.slice(1)];
}

/** training/configs/FILE of this folder, and as it is shipped. */
export function configs(file: string, schema: SettingsSchema): [own: Layer, shipped: Layer] {
  const path = join("training", "configs", file);
  const fields = fieldsOf(schema);
  const shipped = new TextDecoder().decode(asset(`training/configs/${file}`));
  return [
    existsSync(path) ? readTrainingConfig(path, readFileSync(path, "utf8"), fields) : [],
    readTrainingConfig(`${path} (shipped)`, shipped, fields),
  ];
}

/**
 * Runs a command of whet with these settings, and catches its result.
 * @param enough whether the result says all, where the command calls it an error
 */
export async function call(
  name: string,
  p: Pipeline,
  io: Io,
  from: (schema: SettingsSchema) => readonly Layer[],
  enough: (result: unknown) => boolean = () => false,
): Promise<unknown> {
  const command = await table.find((entry) => entry.name === name)!.load();
  const { settings } = resolve(command.settings, from(command.settings));
  const results: unknown[] = [];
  const listening = new Proxy(io, {
    get(target, key) {
      if (key === "result") return (value: unknown) => results.push(value);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  try {
    await command.run({ ...p.common, ...(settings as object) }, listening);
  } catch (error) {
    if (!(error instanceof Fail) || !enough(results.at(-1))) throw error;
  }
  return results.at(-1);
}
