import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { asset } from "../base/assets.ts";
import { makeFolder } from "../base/disk.ts";
import { writeFile } from "../base/durable.ts";
import { columns } from "../base/text.ts";
import { type InitSettings, initSettings } from "../settings/init.ts";
import { command } from "./command.ts";

export const init = command({
  dryRun: true,
  examples: ["whet init mycli", "whet init tickets --template json", "whet init notes -t embed"],
  details:
    "Writes whet.yaml, a schema or rows to begin with, .gitignore and a justfile into this folder, and the " +
    "folders schemas/, training/ and models/. Nothing that is there is written over without --force. All of " +
    "it runs at once with the model that is built in.",
  settings: initSettings,
  async run(settings, io) {
    const name = settings.name ?? ownName();
    const { template, force, dry_run } = settings;
    const { files, first } = TEMPLATES[template];
    const all = { ...EVERYWHERE, "whet.yaml": `${template}/whet.yaml`, ...files };
    const done = { written: [] as string[], kept: [] as string[] };
    for (const [path, from] of Object.entries(all)) {
      const place = path.replaceAll("NAME", name);
      const there = existsSync(place) && !force;
      done[there ? "kept" : "written"].push(place);
      if (there || dry_run) continue;
      const text = new TextDecoder().decode(asset(`templates/${from}`));
      await writeFile(place, from === "justfile" ? text : text.replaceAll("NAME", name));
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

/** Files by their place below this folder, and where each is in templates/. */
const EVERYWHERE = { ".gitignore": "gitignore", justfile: "justfile" };
type Template = { readonly files: Readonly<Record<string, string>>; readonly first: string };
const TEMPLATES: Readonly<Record<InitSettings["template"], Template>> = {
  cli: { files: { "schemas/NAME.yaml": "cli/schema.yaml" }, first: "whet pipeline NAME" },
  json: {
    files: {
      "schemas/NAME.json": "json/schema.json",
      "training/data/NAME/train.jsonl": "json/train.jsonl",
    },
    first: "whet train sft",
  },
  cot: { files: { "training/data/NAME/train.jsonl": "cot/train.jsonl" }, first: "whet train sft" },
  dpo: {
    files: { "training/data/NAME/preferences.jsonl": "dpo/preferences.jsonl" },
    first: "whet train dpo",
  },
  embed: {
    files: { "training/data/NAME/triplets.jsonl": "embed/triplets.jsonl" },
    first: "whet train embed",
  },
};

/** A name for what is trained, from that of the folder. */
function ownName(): string {
  return basename(process.cwd()).replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[._-]+/, "") ||
    "mycli";
}
