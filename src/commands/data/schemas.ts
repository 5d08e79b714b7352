import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { asset, assetNames } from "../../base/assets.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { suggest } from "../../base/text.ts";
import { type AnswerSchema, parseAnswerSchema } from "../../settings/answer_schema.ts";
import { readText } from "../io.ts";

const ENDINGS = [".yaml", ".yml", ".json"];

/** Names of the schemas in schemas/ below this folder, and of those that are shipped. */
export function schemaNames(): { own: string[]; shipped: string[] } {
  const bare = (files: string[]) =>
    files.filter((file) => ENDINGS.some((ending) => file.endsWith(ending)))
      .map((file) => file.replace(/\.[^.]+$/, "")).sort();
  const own = existsSync("schemas") ? bare(readdirSync("schemas")) : [];
  return { own, shipped: bare(assetNames("schemas")) };
}

/**
 * A schema by its name (schemas/NAME.yaml below this folder, else one that is shipped) or by its path.
 * @returns the schema and the name its files have
 * @throws Fail (usage) for an unknown name, with those there are; for a broken schema, with line and column
 */
export function findSchema(given: string): { name: string; schema: AnswerSchema } {
  if (/[/\\]/.test(given) || ENDINGS.some((ending) => given.endsWith(ending))) {
    const schema = parseAnswerSchema(readText(given, "the schema"), given);
    return { name: fileName(schema.name), schema };
  }
  for (const ending of ENDINGS) {
    const path = join("schemas", given + ending);
    if (existsSync(path)) {
      return { name: given, schema: parseAnswerSchema(readText(path, "the schema"), path) };
    }
  }
  const { own, shipped } = schemaNames();
  if (shipped.includes(given)) {
    const path = `schemas/${given}.yaml`;
    const schema = parseAnswerSchema(new TextDecoder().decode(asset(path)), path);
    return { name: given, schema };
  }
  const near = suggest(given, [...own, ...shipped]);
  throw new Fail(`there is no schema "${given}"`, {
    why: `shipped: ${shipped.join(", ")}; in schemas/ here: ${own.join(", ") || "none"}` +
      (near ? `; did you mean ${near}?` : ""),
    fix: near ? `write ${near}` : `write schemas/${given}.yaml, or name a file: ./my-schema.yaml`,
    exit: Exit.usage,
  });
}

/** A name that is safe as a folder, whatever the schema calls itself. */
function fileName(name: string): string {
  return name.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[.-]+/, "") || "schema";
}
