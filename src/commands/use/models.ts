import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";

const isModel = (dir: string) => existsSync(join(dir, "config.json"));

/**
 * The models that -m names; a comma may also be part of a name.
 * @param folders whether a folder without config.json means the models in it
 * @throws Fail (data) for a folder of models that holds none
 */
export function modelsOf(named: readonly string[], folders: boolean): string[] {
  const whole = named.join(",");
  const dirs = named.length > 1 && isModel(whole) ? [whole] : named;
  return dirs.flatMap((dir) => {
    if (!folders || isModel(dir) || !existsSync(dir)) return [dir];
    const inside = readdirSync(dir).sort().map((name) => join(dir, name)).filter(isModel);
    if (inside.length > 0) return inside;
    throw new Fail(`${dir} holds no model`, {
      why: "neither it nor a folder in it has a config.json",
      fix: "name a model's folder, or one that holds folders of models",
      exit: Exit.data,
    });
  });
}
