import { existsSync } from "node:fs";
import { Exit, Fail } from "../base/fail.ts";

/** @throws Fail (usage) where something is there that would be lost, unless it may be */
export function requireNew(out: string, force: boolean): void {
  if (force || !existsSync(out)) return;
  throw new Fail(`${out} is there already`, {
    why: "what it holds would be lost",
    fix: "name another place with -o, or add --force",
    exit: Exit.usage,
  });
}
