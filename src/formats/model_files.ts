/** Finding and reading the files of a model or adapter folder that someone else made. */
import {
  closeSync,
  type Dirent,
  lstatSync,
  openSync,
  readdirSync,
  realpathSync,
  statSync,
} from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { isObject, JsonError, type JsonObject, parseJson } from "../base/strict_json.ts";
import { readExactly } from "./safetensors.ts";

const plainName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/;

/** Whether a name taken from a file may be used as a file name: one plain component, nothing hidden. */
export function isPlainName(name: string): boolean {
  return plainName.test(name) && !name.endsWith(".");
}

/**
 * The real path of a regular file in a folder, or undefined if there is none of that name. Links must
 * stay in the folder, or lead to `blobs` as in the Hugging Face cache (`snapshots/<revision>/` beside
 * `blobs/`).
 * @throws Fail (exit 3) on links out of the folder and on what is no regular file
 */
export function fileIn(dir: string, name: string): string | undefined {
  const bad = (what: string) =>
    new Fail(`${join(dir, name)}: ${what}`, {
      why: "Files of a model must be plain files in its folder.",
      fix: "Copy the file itself into the folder.",
      exit: Exit.data,
    });
  if (!isPlainName(name)) throw bad("not a plain file name");
  const root = realpathSync(dir);
  const path = join(root, name);
  let link: boolean;
  try {
    link = lstatSync(path).isSymbolicLink();
  } catch {
    return undefined;
  }
  let target = path;
  if (link) {
    try {
      target = realpathSync(path);
    } catch {
      throw bad("a link that leads nowhere");
    }
    const snapshots = dirname(root);
    const blobs = join(dirname(snapshots), "blobs");
    const cached = basename(snapshots) === "snapshots" && dirname(target) === blobs;
    if (!target.startsWith(root + sep) && !cached) {
      throw bad(`a link out of the folder, to ${target}`);
    }
  }
  if (!statSync(target).isFile()) throw bad("not a regular file");
  return target;
}

/** The names in a folder. Throws Fail (exit 3) when there is no such folder. */
export function namesIn(dir: string, expected: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const what = code === "ENOTDIR"
      ? "this is a file, not a folder"
      : code === "ENOENT"
      ? "there is no such folder"
      : `the folder cannot be read (${code})`;
    throw new Fail(`${dir}: ${what}`, {
      fix: `Give a folder that holds ${expected}.`,
      exit: Exit.data,
    });
  }
  return entries.map((entry) => entry.name);
}

/** Bytes of a file in a folder, or undefined if it is not there. Throws Fail above `limit` bytes. */
export function bytesIn(dir: string, name: string, limit: number): Uint8Array | undefined {
  const path = fileIn(dir, name);
  if (path === undefined) return undefined;
  const size = statSync(path).size;
  if (size > limit) {
    throw new Fail(`${join(dir, name)}: ${size} bytes, at most ${limit} are expected`, {
      fix: "This is not the file its name says. Fetch the folder again.",
      exit: Exit.data,
    });
  }
  const bytes = new Uint8Array(size);
  const fd = openSync(path, "r");
  try {
    readExactly(fd, bytes, 0, path);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** A JSON object from bytes. Throws Fail (exit 3) with line and column. */
export function parseObject(bytes: Uint8Array, file: string): JsonObject {
  const fix = "Correct the file or fetch it again.";
  let value;
  try {
    value = parseJson(bytes);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const before = new TextDecoder().decode(bytes.subarray(0, error.offset)).split("\n");
    const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
    throw new Fail(`${file}: ${where}: ${error.message}`, { fix, exit: Exit.data });
  }
  if (!isObject(value)) throw new Fail(`${file}: expected a JSON object`, { fix, exit: Exit.data });
  return value;
}
