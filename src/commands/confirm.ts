import { createInterface } from "node:readline/promises";
import { Exit, Fail } from "../base/fail.ts";
import type { Io } from "./io.ts";

/**
 * Asks a person before something that cannot be taken back. `yes` answers for them.
 * @throws Fail (usage) where nobody can be asked
 */
export async function confirm(question: string, yes: boolean, io: Io): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Fail(`${question} Nobody is there to be asked`, {
      why: "stdin or stderr is not a terminal",
      fix: "add -y, if that is what you want",
      exit: Exit.usage,
    });
  }
  io.progress();
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  reader.once("SIGINT", () => {
    io.stop.requested = "SIGINT";
    reader.close();
  });
  // Ctrl-D closes it too, and neither answers.
  const closed = new Promise<string>((answer) => reader.once("close", () => answer("")));
  try {
    const answer = await Promise.race([reader.question(`${question} [y/N] `), closed]);
    return /^(y|yes)$/i.test(answer.trim());
  } finally {
    reader.close();
  }
}
