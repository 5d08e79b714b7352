import { readdirSync, statSync } from "node:fs";
import { Exit, Fail } from "../base/fail.ts";

/** @throws Fail (usage) where there is a file, or a folder with files in it, that would be lost */
export function requireNew(out: string): void {
  const there = statSync(out, { throwIfNoEntry: false });
  if (!there || (there.isDirectory() && readdirSync(out).length === 0)) return;
  throw new Fail(`${out} is there already`, {
    why: there.isDirectory() ? "files in it would be lost" : "what it holds would be lost",
    fix: "name another place with -o, or add --force to write over it",
    exit: Exit.usage,
  });
}
