import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Model } from "../../architectures/model.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { readRun } from "../../report/folder.ts";

interface Asked {
  readonly task?: string;
  readonly adapter?: string;
}

/**
 * The task that is asked for, or that an adapter was trained on; "none" is the weights without one.
 * @throws Fail (usage) where these are two
 */
export function taskOf({ task, adapter }: Asked): string | undefined {
  if (adapter === undefined || !existsSync(join(adapter, "run.json"))) return task;
  const { task: recorded } = readRun(adapter).manifest.settings as { task?: unknown };
  if (typeof recorded !== "string") return task;
  if (task === undefined || task === recorded) return recorded;
  throw new Fail(`the adapter ${adapter} was trained on --task ${recorded}, not ${task}`, {
    why: "it was learnt on the weights that this task has",
    fix: `--task ${recorded}, or leave --task out`,
    exit: Exit.usage,
  });
}

/** The task whose adapter is merged in when the model is opened. */
export const merged = (task: string | undefined) => task === "none" ? undefined : task;

/**
 * What stands before a text of the task; nothing where the model has no tasks.
 * @throws Fail (usage) naming the tasks where the model has some and none was asked for
 */
export function instructionOf({ architecture, folder }: Model, task: string | undefined): string {
  const tasks = architecture.tasks?.(folder.config);
  if (!tasks) return "";
  if (task !== undefined) return tasks.prompts[task] ?? "";
  throw new Fail("this model has an adapter for each of several tasks, and none is named", {
    why: `its tasks are ${tasks.names.join(", ")}`,
    fix: `--task ${tasks.names[0]}, or --task none for the weights without an adapter`,
    exit: Exit.usage,
  });
}
