import { join, resolve } from "node:path";
import { cacheRoots } from "../base/cache.ts";
import { Fail } from "../base/fail.ts";
import { lockFolder } from "../base/lock.ts";
import { sha256 } from "../base/sha256.ts";

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
