/** Folders of files that appear whole or not at all, each with a manifest that proves its content. */
import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { disk, diskFail, makeFolder, nameBeside, rename, syncFolder } from "./disk.ts";
import { type Chunks, writeNew, type Written } from "./durable.ts";
import { Exit, Fail } from "./fail.ts";
import { sha256, sha256File } from "./sha256.ts";

const manifestName = "manifest.json";
const format = 1;
const fileName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

export interface Folder {
  readonly path: string;
  /** What the writer noted: any JSON value. */
  readonly meta: unknown;
  readonly files: ReadonlyMap<string, Written>;
}
export type Put = (name: string, chunks: Chunks) => Promise<Written>;

function notFolder(path: string, what: string, fix?: string): Fail {
  return new Fail(`${path}: ${what}`, {
    why: "The files are not those that were written: damaged, cut short or edited.",
    fix: fix ?? "Use another copy, or remove this folder.",
    exit: Exit.disk,
  });
}

/**
 * What is thrown for a folder of another version of whet. It is whole, so it is not passed over as a
 * damaged one would be: the work in it would be lost without a word.
 */
export function otherFormat(path: string, found: unknown, known: number): Fail {
  const newer = typeof found === "number" && found > known;
  return new Fail(`${path} has format ${found}`, {
    why: `it was written by ${newer ? "a newer" : "an older"} whet; this one knows format ${known}`,
    fix: newer
      ? "use the newer whet"
      : "go on with the version that wrote it (run.json names it), or begin a new run",
    code: OTHER_FORMAT,
    exit: Exit.disk,
  });
}

const OTHER_FORMAT = "WH1203";

/**
 * Makes a folder that is there whole or not at all: `fill` writes synced files under a temporary name,
 * which is then renamed to `path`.
 * @throws Fail with exit 12 if `path` exists or the disk refuses; errors of `fill` as they are.
 * Nothing is left behind.
 */
export async function makeWhole<T>(
  path: string,
  fill: (temporary: string) => Promise<T>,
): Promise<T> {
  const temporary = nameBeside(path, ".tmp-");
  try {
    if (existsSync(path)) throw Object.assign(new Error(`${path} exists`), { code: "EEXIST" });
    await makeFolder(dirname(resolve(path)));
    await disk.mkdir(temporary);
    const made = await fill(temporary);
    await syncFolder(temporary);
    await rename(temporary, path);
    await syncFolder(dirname(resolve(path)));
    return made;
  } catch (error) {
    await disk.removeTree(temporary).catch(() => {});
    throw diskFail(error, path);
  }
}

/**
 * Writes a folder. `write` puts its files, then returns the note kept in the manifest. All is written
 * and synced under a temporary name, the manifest (sizes, SHA-256) last, then renamed to `path`.
 * @throws Fail with exit 12 if `path` exists or the disk refuses; errors of `write` as they are.
 * Nothing is left behind.
 */
export async function writeFolder(
  path: string,
  write: (put: Put) => Promise<unknown>,
): Promise<Folder> {
  const files = new Map<string, Written>();
  return await makeWhole(path, async (temporary) => {
    const meta = await write(async (name, chunks) => {
      if (!fileName.test(name) || name === manifestName || files.has(name)) {
        throw new Error(`"${name}" is taken or no plain file name`);
      }
      const written = await writeNew(join(temporary, name), chunks);
      files.set(name, written);
      return written;
    });
    const body = JSON.stringify({ format, meta, files: Object.fromEntries(files) });
    const manifest = `{"sha256":"${sha256(body)}","body":${body}}\n`;
    await writeNew(join(temporary, manifestName), manifest);
    return { path, meta: (JSON.parse(body) as { meta: unknown }).meta, files };
  });
}

/** Opens a folder by its manifest alone, which is checked; the files are not. See {@link readFolder}. */
export function inspectFolder(path: string): Folder {
  const at = join(path, manifestName);
  if (!existsSync(at)) throw notFolder(path, `${manifestName} is missing`);
  let text: string;
  let manifest: { sha256?: unknown; body?: { format?: unknown; meta?: unknown; files?: unknown } };
  try {
    text = readFileSync(at, "utf8");
    manifest = JSON.parse(text);
  } catch {
    throw notFolder(path, `${manifestName} cannot be read as JSON`);
  }
  const body = manifest?.body;
  if (typeof body !== "object" || sha256(JSON.stringify(body)) !== manifest.sha256) {
    throw notFolder(path, `${manifestName} does not match its own checksum`);
  }
  if (body.format !== format) {
    throw otherFormat(path, body.format, format);
  }
  const files = new Map(Object.entries(body.files as Record<string, Written>));
  for (const name of files.keys()) {
    if (!fileName.test(name)) throw notFolder(path, `"${name}" is no plain file name`);
  }
  return { path, meta: body.meta, files };
}

/**
 * Opens a folder made by {@link writeFolder} after checking every file's size and SHA-256. Files that
 * the manifest does not name are ignored.
 * @throws Fail with exit 12 naming the first thing that is missing or changed
 */
export async function readFolder(path: string): Promise<Folder> {
  const folder = inspectFolder(path);
  for (const [name, expected] of folder.files) {
    const at = join(path, name);
    if (!existsSync(at)) throw notFolder(path, `${name} is missing`);
    let found: Written;
    try {
      found = await sha256File(at);
    } catch (error) {
      throw notFolder(path, `${name} cannot be read (${(error as Error).message})`);
    }
    if (found.size !== expected.size) {
      throw notFolder(path, `${name} has ${found.size} bytes, expected ${expected.size}`);
    }
    if (found.sha256 !== expected.sha256) throw notFolder(path, `${name} has changed content`);
  }
  return folder;
}

/** The numbered folders in `parent` ("step-12" or, a second one of that number, "step-12-2"), newest first. */
export function listFolders(parent: string, prefix: string): { path: string; number: number }[] {
  if (!existsSync(parent)) return [];
  const pattern = /^(.*?)-(\d{1,15})(?:-(\d{1,9}))?$/;
  const found: { path: string; number: number; again: number }[] = [];
  for (const name of readdirSync(parent)) {
    const m = pattern.exec(name);
    if (m?.[1] !== prefix) continue;
    found.push({ path: join(parent, name), number: Number(m[2]), again: Number(m[3] ?? 1) });
  }
  return found.sort((a, b) => b.number - a.number || b.again - a.again);
}

/**
 * The valid folder of the highest number, or undefined. Computed each time, from names and contents:
 * never from clocks, pointer files or links. Invalid ones are reported and passed over, not removed.
 * @throws Fail (disk) where the newest that is whole was written by another version of whet
 */
export async function latestFolder(
  parent: string,
  prefix: string,
  warn: (message: string) => void,
): Promise<Folder | undefined> {
  for (const { path } of listFolders(parent, prefix)) {
    try {
      return await readFolder(path);
    } catch (error) {
      if (!(error instanceof Fail) || error.code === OTHER_FORMAT) throw error;
      warn(`passed over ${error.message}`);
    }
  }
  return undefined;
}

/** The first of `<path>.old-1`, `<path>.old-2`, … that is free. */
export function asideOf(path: string): string {
  let n = 1;
  const aside = () => join(dirname(path), `${basename(path)}.old-${n}`);
  while (existsSync(aside())) n++;
  return aside();
}

/** Gives a folder or file that name. @returns it */
export function putAside(path: string): string {
  const aside = asideOf(path);
  renameSync(path, aside);
  return aside;
}

/** Removes a folder; a crash leaves it whole or gone from sight (".trash-…"). */
export async function removeFolder(path: string): Promise<void> {
  const trash = nameBeside(path, ".trash-");
  try {
    await rename(path, trash);
    await syncFolder(dirname(resolve(path)));
    await disk.removeTree(trash);
  } catch (error) {
    throw diskFail(error, path);
  }
}

/** Removes what crashes left in a folder (".tmp-…", ".trash-…"). Call it while holding its lock. */
export async function sweepFolder(path: string): Promise<string[]> {
  if (!existsSync(path)) return [];
  const left = readdirSync(path).filter((name) =>
    /^\.(tmp|trash)-[0-9a-f-]{36}$/.test(basename(name))
  );
  for (const name of left) await disk.removeTree(join(path, name));
  return left;
}
