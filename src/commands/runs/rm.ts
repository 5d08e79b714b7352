import { existsSync, lstatSync } from "node:fs";
import { relative, resolve, sep } from "node:path";
import { z } from "zod";
import { Exit, Fail } from "../../base/fail.ts";
import { removeFolder } from "../../base/folder.ts";
import { isLocked, lockFolder } from "../../base/lock.ts";
import { excerpt, humanBytes, plural } from "../../base/text.ts";
import { begunByUs, filesOf, isRun, openRun, runFolder, sizeOf } from "../../report/registry.ts";
import { readTags } from "../../report/tags.ts";
import { field, path } from "../../settings/field.ts";
import { command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { rootField } from "./runs.ts";

/** What training writes into a run folder. */
const OURS = new RegExp(
  "^(" + [
    "run\\.json",
    "metrics\\.jsonl",
    "tags\\.json",
    "training_args\\.json",
    "README\\.md",
    "report\\.(html|md)",
    "adapter_(config\\.json|model\\.safetensors)",
    "model(-\\d+-of-\\d+)?\\.safetensors(\\.index\\.json)?",
    "(generation_)?config\\.json",
    "tokenizer(_config)?\\.json|special_tokens_map\\.json|added_tokens\\.json|chat_template\\.jinja",
    "\\.lock(-holder|-journal)?",
    "\\.(tmp|trash)-.*",
    "(checkpoints|tensorboard|wandb|predictions)/.*",
  ].join("|") + ")$",
);

export const runsRm = command({
  examples: ["whet runs rm first", "whet runs rm ./runs/first ./runs/second -y"],
  details:
    "Removes run folders with all that is in them, checkpoints and weights too. A run that is being " +
    "trained is never removed, nor a folder that is no run; one that holds files which training did not " +
    "write only with --all.",
  settings: z.strictObject({
    runs: field(z.array(path()).min(1), {
      value: "RUN",
      positional: 0,
      help: "run folders, or names or tags of runs below --root",
    }),
    all: field(z.boolean().default(false), {
      group: "Main",
      help: "other files in the folders too",
    }),
    root: rootField(),
  }),
  async run({ runs, all, root, yes }, io) {
    const paths = [...new Set(runs.map((given) => resolve(removable(given, root, all))))];
    const bytes = paths.reduce((sum, path) => sum + sizeOf(path), 0);
    const names = paths.map((path) => relative(process.cwd(), path) || path);
    const tagged = paths.filter((path) => readTags(path).some(({ version }) => version));
    const question = `Remove ${plural(paths.length, "run")} (${names.join(", ")}), ${
      humanBytes(bytes)
    }${tagged.length > 0 ? `, ${tagged.length} with a version` : ""}?`;
    if (!await confirm(question, yes, io)) return io.note("nothing was removed");
    for (const [i, path] of paths.entries()) {
      await remove(path);
      io.result({ removed: names[i] });
      io.out(`removed ${names[i]}`);
    }
  },
});

async function remove(path: string) {
  {
    using _lock = await lockFolder(path);
    // Elsewhere an open lock file does not keep its folder from being renamed.
    if (process.platform !== "win32") return await removeFolder(path);
  }
  await removeFolder(path);
}

/**
 * The folder of a run that may go.
 * @throws Fail (disk) where it is being trained; (usage) where it is no run, holds what training did not write, or this process works in it
 */
function removable(given: string, root: string, all: boolean): string {
  const path = existsSync(given) ? given : runFolder(given, root);
  const refuse = (what: string, why: string, fix: string) =>
    new Fail(what, { why, fix, exit: Exit.usage });
  if (isLocked(path)) {
    throw new Fail(`${path} is being trained`, {
      why: "a process holds its lock",
      fix: "stop it first: Ctrl-C where it runs",
      exit: Exit.disk,
    });
  }
  if (lstatSync(path).isSymbolicLink()) {
    throw refuse(`${path} is a link`, "only folders are removed", "name the folder itself");
  }
  if (!isRun(openRun(path)) && !begunByUs(path)) {
    throw refuse(
      `${path} is no run`,
      "it has neither a run.json nor a metrics.jsonl of whet",
      "whet runs ls lists runs; other folders are yours to remove",
    );
  }
  if ((process.cwd() + sep).startsWith(resolve(path) + sep)) {
    throw refuse(`${path} holds the folder you are in`, "it would be gone", "cd elsewhere first");
  }
  const strange = filesOf(path).filter((file) => !OURS.test(file.replaceAll("\\", "/")));
  if (strange.length > 0 && !all) {
    throw refuse(
      `${path} holds ${plural(strange.length, "file")} that training did not write`,
      excerpt(strange.join(", "), 200),
      "move them out, or remove them too with --all",
    );
  }
  return path;
}
