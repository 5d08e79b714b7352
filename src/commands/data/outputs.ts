import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { cacheRoots } from "../../base/cache.ts";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { lockFolder } from "../../base/lock.ts";
import { sha256 } from "../../base/sha256.ts";

/**
 * Holds a file that takes long to make: two programs that write one data set would pay twice.
 * @throws Fail where another program holds it
 */
export async function lockOutput(path: string): Promise<Disposable> {
  const folder = join(cacheRoots()[0]!, "locks", sha256(resolve(path)).slice(0, 16));
  try {
    return await lockFolder(folder);
  } catch (error) {
    if (!(error instanceof Fail) || !error.message.includes(" is in use by ")) throw error;
    throw new Fail(error.message.replace(folder, path), { ...error, cause: error });
  }
}

/**
 * Writes prompts for people to put to a model, a file each, into a folder that holds none yet.
 * @returns the files
 * @throws Fail (usage) where there are prompts already
 */
export async function writePrompts(folder: string, prompts: Iterable<string>): Promise<string[]> {
  if (existsSync(folder) && readdirSync(folder).some((name) => /^prompt-\d+\.md$/.test(name))) {
    throw new Fail(`${folder} holds prompts already`, {
      why: "old and new ones would stand side by side",
      fix: "name another folder, or remove them",
      exit: Exit.usage,
    });
  }
  const files: string[] = [];
  for (const prompt of prompts) {
    const path = join(folder, `prompt-${String(files.length + 1).padStart(4, "0")}.md`);
    await writeFile(path, prompt);
    files.push(path);
  }
  return files;
}

/** A list in pieces of this size, the last one smaller. */
export function batches<One>(items: readonly One[], size: number): One[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}
