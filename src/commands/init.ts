import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { asset, assetNames } from "../base/assets.ts";
import { makeFolder } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { columns } from "../base/text.ts";
import { type InitSettings, initSettings, RECIPES } from "../settings/init.ts";
import { command } from "./command.ts";

export const init = command({
  dryRun: true,
  examples: [
    "whet init mycli",
    "whet init tickets --template json",
    "whet init notes -t embed",
    "whet init -t ccp-v1",
  ],
  details:
    "Writes whet.yaml, a schema or rows to begin with, .gitignore and a justfile into this folder, and the " +
    "folders schemas/, training/ and models/. Nothing that is there is written over without --force. All of " +
    "it runs at once with the model that is built in. A recipe brings its config, whose first lines say how " +
    "it is run, and rows of its own.",
  settings: initSettings,
  async run(settings, io) {
    const { template, force, dry_run } = settings;
    const recipe = isRecipe(template);
    if (recipe && settings.name !== undefined && settings.name !== template) {
      throw new Fail(`the recipe ${template} has its own name`, {
        why: `its files name each other: ${configOf(template)} and training/data/${template}`,
        fix: `whet init -t ${template}`,
        exit: Exit.usage,
      });
    }
    const name = recipe ? template : settings.name ?? ownName();
    const { files, first } = recipe ? recipeOf(template) : TEMPLATES[template];
    const all = {
      ".gitignore": "templates/gitignore",
      justfile: "templates/justfile",
      ...(recipe ? {} : { "whet.yaml": `templates/${template}/whet.yaml` }),
      ...files,
    };
    const done = { written: [] as string[], kept: [] as string[] };
    for (const [path, from] of Object.entries(all)) {
      const place = path.replaceAll("NAME", name);
      const there = existsSync(place) && !force;
      done[there ? "kept" : "written"].push(place);
      if (there || dry_run) continue;
      const text = new TextDecoder().decode(asset(from));
      await writeFile(place, recipe || place === "justfile" ? text : text.replaceAll("NAME", name));
    }
    if (!dry_run) {
      for (const folder of FOLDERS) await makeFolder(folder.replaceAll("NAME", name));
    }
    const next = first.replaceAll("NAME", name);
    io.result({ name, template, ...done, next });
    io.out(columns([
      ...done.written.map((path) => [path, dry_run ? "would be written" : "written"]),
      ...done.kept.map((path) => [path, "is there already: kept"]),
    ]));
    io.note(`\nNext: ${next}`);
  },
});

const FOLDERS = ["schemas", "models", join("training", "data", "NAME"), join("training", "models")];

type Recipe = (typeof RECIPES)[number];

const isRecipe = (template: string): template is Recipe =>
  (RECIPES as readonly string[]).includes(template);

const configOf = (recipe: Recipe) => `training/configs/${recipe}.yaml`;

/** How each recipe begins; all others train at once. */
const FIRST: Readonly<Partial<Record<Recipe, string>>> = {
  "gemma-json": "data convert",
  "cogniverse-routing": "train auto",
  clitron: "pipeline git",
};
/** What a recipe needs beside its config and its rows. */
const BESIDE: Readonly<Partial<Record<Recipe, readonly string[]>>> = {
  "ccp-v1": ["training/configs/ccp.jinja"],
  "ccp-v2": ["training/configs/ccp.jinja"],
  clitron: [
    "schemas/git.yaml",
    "training/configs/sft_config.yaml",
    "training/configs/dpo_config.yaml",
  ],
};

/** The files of a recipe stand where they are shipped. */
function recipeOf(recipe: Recipe): Template {
  const rows = `training/data/${recipe}`;
  const paths = [
    configOf(recipe),
    ...BESIDE[recipe] ?? [],
    ...assetNames(rows).map((name) => `${rows}/${name}`),
  ];
  const begin = FIRST[recipe] ?? "train sft";
  const model = begin === "data convert" ? "" : " -m micro";
  return {
    files: Object.fromEntries(paths.map((path) => [path, path])),
    first: `whet ${begin} -c ${configOf(recipe)}${model}`,
  };
}

/** What is written: files by their place below this folder, and where each is in the program. */
type Template = { readonly files: Readonly<Record<string, string>>; readonly first: string };
const TEMPLATES: Readonly<Record<Exclude<InitSettings["template"], Recipe>, Template>> = {
  cli: { files: { "schemas/NAME.yaml": "templates/cli/schema.yaml" }, first: "whet pipeline NAME" },
  json: {
    files: {
      "schemas/NAME.json": "templates/json/schema.json",
      "training/data/NAME/train.jsonl": "templates/json/train.jsonl",
    },
    first: "whet train sft",
  },
  cot: {
    files: { "training/data/NAME/train.jsonl": "templates/cot/train.jsonl" },
    first: "whet train sft",
  },
  dpo: {
    files: { "training/data/NAME/preferences.jsonl": "templates/dpo/preferences.jsonl" },
    first: "whet train dpo",
  },
  embed: {
    files: { "training/data/NAME/triplets.jsonl": "templates/embed/triplets.jsonl" },
    first: "whet train embed",
  },
};

/** A name for what is trained, from that of the folder. */
function ownName(): string {
  return basename(process.cwd()).replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[._-]+/, "") ||
    "mycli";
}
