import { LineCounter, parseDocument, YAMLMap } from "yaml";
import { Exit, Fail } from "../base/fail.ts";
import { suggest } from "../base/text.ts";
import type { Field } from "./field.ts";
import type { Given } from "./load.ts";

/** Keys of paths, which a pipeline sets for each name. */
const OVERRIDDEN = new Set([
  "training.output_dir",
  "data.train_file",
  "data.validation_file",
  "data.preference_file",
]);
/** Keys that no flag is called. */
const RENAMED: Readonly<Record<string, string>> = { "model.name": "model" };

/**
 * Reads training/configs/*.yaml: settings under the names that trainers in Python have for them, in the
 * sections model, training, data and logging. Sections order them for people; each key is the setting that
 * has this name or alias. `use_lora: false` trains all weights.
 * @param fields those that the command has
 * @throws Fail (usage) with file:line:column for bad syntax and unknown keys
 */
export function readTrainingConfig(name: string, text: string, fields: readonly Field[]): Given[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const refuse = (what: string, why: string, fix: string, code: string) =>
    new Fail(what, { why, fix, code, exit: Exit.usage });
  const broken = document.errors[0];
  if (broken) {
    const why = broken.message.replace(/\s+/g, " ");
    throw refuse(`${at(broken.pos[0])}: not valid YAML`, why, "correct that line", "WH0202");
  }
  const known = new Map(
    fields.flatMap((f) =>
      [f.flag.slice(2), ...(f.info.aliases ?? [])].map((spelled) => [spelled, f.key] as const)
    ),
  );
  const given: Given[] = [];
  const read = (map: unknown, above: string) => {
    if (!(map instanceof YAMLMap)) {
      throw refuse(
        `${name}: expected sections with settings`,
        above ? `${above.slice(0, -1)} holds none` : "the file holds something else",
        'for example "training:" and, indented below it, "learning_rate: 2e-5"',
        "WH0202",
      );
    }
    for (const pair of map.items) {
      const node = pair.key as { value?: unknown; range?: readonly number[] | null };
      const key = String(node.value ?? ""), path = above + key;
      const from = at(node.range?.[0] ?? 0);
      const value: unknown = (pair.value as { toJS?: (d: unknown) => unknown } | null)?.toJS?.(
        document,
      );
      if (pair.value instanceof YAMLMap || above === "") {
        read(pair.value, `${path}.`);
      } else if (path === "training.use_lora") {
        if (known.has("full")) given.push({ key: "full", value: value === false, from });
      } else if (!OVERRIDDEN.has(path)) {
        const spelled = RENAMED[path] ?? key.replaceAll("_", "-");
        const setting = known.get(spelled);
        if (setting === undefined) {
          const near = suggest(spelled, known.keys())?.replaceAll("-", "_");
          throw refuse(
            `${from}: unknown setting "${path}"`,
            near ? `did you mean "${near}"?` : "the training that reads this file has none like it",
            near ? `write ${near}` : "take the line out",
            "WH0203",
          );
        }
        given.push({ key: setting, value, from });
      }
    }
  };
  if (document.contents !== null) read(document.contents, "");
  return given;
}
