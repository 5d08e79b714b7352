import { join } from "node:path";
import { z } from "zod";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { modelCard } from "../../report/card.ts";
import { findRuns, theRun } from "../../report/registry.ts";
import {
  labelOf,
  nextVersion,
  parseLabel,
  readTags,
  type Tag,
  writeTags,
} from "../../report/tags.ts";
import { field } from "../../settings/field.ts";
import { command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { rootField, runField } from "./runs.ts";

export const runsTag = command({
  examples: [
    "whet runs tag first                # the next version: first:v1.0, then first:v1.1",
    "whet runs tag first garden:v2.0",
    "whet runs tag first candidate",
    "whet runs tag first candidate --remove",
  ],
  details:
    "A tag is a name; with a version, v1.0, it belongs to one run alone below --root and says which " +
    "weights were meant. Tags stand in tags.json of the run folder and versions in its model card, and " +
    "every command about runs takes them in place of a folder.",
  settings: z.strictObject({
    run: runField(),
    tag: field(z.string().min(1).optional(), {
      value: "TAG",
      positional: 1,
      help: "NAME:v1.0, v1.0 of the run's own name, or a name without a version",
      otherwise: "the next version of the run's own name",
    }),
    remove: field(z.boolean().default(false), { group: "Main", help: "take the tag away" }),
    root: rootField(),
  }),
  async run({ run: given, tag: typed, remove, root, yes }, io) {
    const { path, record, tags } = theRun(given, root);
    const { name: own, adapter } = record.manifest;
    const others = findRuns(root).filter((other) => other !== path);
    const versions = [path, ...others].flatMap(readTags).filter(({ name }) => name === own)
      .flatMap(({ version }) => version ?? []);
    const label = typed === undefined
      ? { name: own, version: nextVersion(versions) }
      : parseLabel(typed, own);
    if (!label || remove && typed === undefined) {
      throw new Fail(remove ? "no tag was named to be removed" : `${typed} is no tag`, {
        why: "a tag is NAME, NAME:v1.0 or v1.0; names are letters, digits, dots and dashes",
        fix: `whet runs tag ${given} ${own}:v1.0`,
        exit: Exit.usage,
      });
    }
    const text = labelOf(label);
    const rest = tags.filter((tag) => labelOf(tag) !== text);
    if (remove) {
      if (rest.length === tags.length) {
        throw new Fail(`${path} has no tag ${text}`, {
          why: `it has ${tags.map(labelOf).join(", ") || "none"}`,
          fix: `whet runs show ${given}`,
          exit: Exit.usage,
        });
      }
      await keep(rest);
      return io.out(`${path} is no longer ${text}`);
    }
    if (label.version !== undefined) {
      if (!adapter) {
        throw new Fail(`${path} has no weights to be ${text}`, {
          why: `the run is ${record.manifest.status}`,
          fix: "a version stands for weights: tag it when it has ended",
          exit: Exit.usage,
        });
      }
      const holder = others.find((other) => readTags(other).some((tag) => labelOf(tag) === text));
      if (holder !== undefined) {
        if (!await confirm(`${text} is ${holder}. Shall it be ${path} from now on?`, yes, io)) {
          return;
        }
        await writeTags(holder, readTags(holder).filter((tag) => labelOf(tag) !== text));
        await writeFile(join(holder, "README.md"), modelCard(theRun(holder, root).record));
      }
    }
    await keep([...rest, { ...label, at: new Date().toISOString(), sha256: adapter?.sha256 }]);
    io.result({ path, tag: text, sha256: adapter?.sha256 });
    io.out(`${path} is ${text}`);

    async function keep(now: readonly Tag[]) {
      await writeTags(path, now);
      if (adapter) await writeFile(join(path, "README.md"), modelCard({ ...record, tags: now }));
    }
  },
});
