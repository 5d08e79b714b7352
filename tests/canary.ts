/**
 * Secrets that must appear nowhere: random values for the keys that whet and its neighbours read. All
 * processes of the tests have them in their environment; what the tests write is searched for them.
 */
import { randomBytes } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";

/** In every canary; the same in all processes of one run of the tests. */
const TOKEN = process.env.CANARY ??= `wc${randomBytes(12).toString("hex")}`;

const NAMES = [
  "ANTHROPIC_API_KEY",
  "OPENAI_API_KEY",
  "HF_TOKEN",
  "WANDB_API_KEY",
  "PHOENIX_API_KEY",
];

/** The canaries by the names of their variables. */
export const canaries: Readonly<Record<string, string>> = Object.fromEntries(
  NAMES.map((name) => [name, `${TOKEN}-${name}`]),
);

/** The name of the variable whose value stands in a text, if there is one. */
export function canaryIn(text: string): string | undefined {
  const at = text.indexOf(TOKEN);
  return at < 0 ? undefined : nameAfter(text.slice(at + TOKEN.length));
}

/** The end of the value may be cut. */
const nameAfter = (text: string) => NAMES.find((name) => text.startsWith(`-${name}`)) ?? "a key";

const PIECE = 2 ** 20;
const piece = Buffer.alloc(PIECE);

/** The files in a folder, or the file itself, that hold a canary; links are not followed. */
export function canaryFiles(path: string, since = 0): string[] {
  let stat;
  try {
    stat = lstatSync(path);
    if (stat.isDirectory()) {
      return readdirSync(path).filter((name) => name !== "node_modules" && name !== ".git")
        .flatMap((name) => canaryFiles(join(path, name), since));
    }
    if (!stat.isFile() || stat.mtimeMs < since) return [];
    return holds(path) ? [path] : [];
  } catch {
    return []; // What went away in the meantime holds nothing any more.
  }
}

function holds(path: string): boolean {
  const file = openSync(path, "r");
  try {
    // A token that lies over the end of a piece is whole in the next one.
    for (let at = 0;;) {
      const length = readSync(file, piece, 0, PIECE, at);
      if (piece.subarray(0, length).includes(TOKEN)) return true;
      if (length < PIECE) return false;
      at += length - TOKEN.length;
    }
  } finally {
    closeSync(file);
  }
}
