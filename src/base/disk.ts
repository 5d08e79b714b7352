/**
 * The few file-system calls that durable writing is made of, in one object, so that a test can make
 * any of them fail, fall short or "lose power" at the nth call.
 */
import * as fs from "node:fs";
import * as fsp from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { Exit, Fail } from "./fail.ts";

const write = promisify(fs.write) as (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
) => Promise<{ bytesWritten: number }>;

export interface Disk {
  open(path: string, flags: "r" | "wx" | "r+"): Promise<number>;
  /** Writes at the file's position; may write fewer bytes than given, as the system call may. */
  write(fd: number, bytes: Uint8Array): Promise<number>;
  /** The same, blocking. */
  append(fd: number, bytes: Uint8Array): number;
  truncate(fd: number, size: number): void;
  fsync(fd: number): Promise<void>;
  close(fd: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  mkdir(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  /** Free bytes for this user on the disk that holds an existing path. */
  free(path: string): number;
}

/** Tests replace its methods; everything else calls them. */
export const disk: Disk = {
  open: promisify(fs.open) as (path: string, flags: string) => Promise<number>,
  write: async (fd, bytes) => (await write(fd, bytes, 0, bytes.length)).bytesWritten,
  append: (fd, bytes) => fs.writeSync(fd, bytes),
  truncate: (fd, size) => fs.ftruncateSync(fd, size),
  fsync: promisify(fs.fsync),
  close: promisify(fs.close),
  rename: (from, to) => fsp.rename(from, to),
  unlink: (path) => fsp.unlink(path),
  mkdir: (path) => fsp.mkdir(path),
  removeTree: (path) => fsp.rm(path, { recursive: true, force: true }),
  free: (path) => {
    const { bavail, bsize } = fs.statfsSync(path);
    return bavail * bsize;
  },
};

/** The errno name of a failed system call ("ENOSPC"), or undefined for any other error. */
export function errno(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Whether an error, or the system error behind a Fail, says that the disk is full. */
export function isDiskFull(error: unknown): boolean {
  const code = errno(error) ?? (error instanceof Fail ? errno(error.cause) : undefined);
  return code === "ENOSPC" || code === "EDQUOT";
}

const nextFolder = "Choose a folder you can write to (-o DIR) and run the command again.";
const failures: Record<string, readonly [why: string, fix: string]> = {
  ENOSPC: ["The disk is full.", "Free some space and run the command again."],
  EDQUOT: ["Your disk quota is used up.", "Free some space and run the command again."],
  EROFS: ["The folder is on a read-only disk.", nextFolder],
  EACCES: ["You have no permission to write there.", nextFolder],
  EPERM: ["The system does not permit writing there.", nextFolder],
  ENOTDIR: ["A part of the path is a file, not a folder.", nextFolder],
  EISDIR: ["There is a folder of that name.", "Remove it or choose another name."],
  EEXIST: ["Something of that name exists already.", "Remove it or choose another name."],
  ENAMETOOLONG: ["The name is longer than the file system allows.", "Choose a shorter name."],
  EIO: [
    "The disk reported an input/output error: it may be failing.",
    "Nothing was replaced. Check the disk, or write to another one (-o DIR).",
  ],
  EMFILE: ["Too many files are open.", "Raise the limit: ulimit -n 4096"],
  ENFILE: ["Too many files are open on this machine.", "Close other programs and try again."],
};

/** A system error while writing `path`, as a {@link Fail} with exit code 12; other errors as they are. */
export function diskFail(error: unknown, path: string): unknown {
  const code = errno(error);
  if (code === undefined || error instanceof Fail) return error;
  const [why, fix] = failures[code] ?? [`The system answered ${code}.`, nextFolder];
  return new Fail(`could not write ${path}`, { why, fix, exit: Exit.disk, cause: error });
}

const piece = 64 * 2 ** 20;

/** Writes all bytes, in pieces of at most 64 MiB: one call stops at 2 GiB without an error. */
export async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const n = await disk.write(fd, bytes.subarray(at, at + piece));
    if (n <= 0) throw Object.assign(new Error("write made no progress"), { code: "ENOSPC" });
    at += n;
  }
}

/** Makes the entries of a folder (names created, renamed, removed) survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open folders as files; NTFS journals renames itself.
  if (process.platform === "win32") return;
  const fd = await disk.open(path, "r");
  try {
    await disk.fsync(fd);
  } finally {
    await disk.close(fd);
  }
}

/** Creates a folder and its missing parents so that they survive a power cut. */
export async function makeFolder(path: string): Promise<void> {
  const full = resolve(path);
  if (fs.existsSync(full)) {
    if (fs.statSync(full).isDirectory()) return;
    throw Object.assign(new Error(`${path} is a file`), { code: "ENOTDIR" });
  }
  await makeFolder(dirname(full));
  try {
    await disk.mkdir(full);
  } catch (error) {
    if (errno(error) !== "EEXIST") throw error;
  }
  await syncFolder(dirname(full));
}

/** Renames; on Windows tries again for a while, as scanners and indexers hold files open. */
export async function rename(from: string, to: string): Promise<void> {
  const tries = process.platform === "win32" ? 10 : 1;
  for (let i = 1;; i++) {
    try {
      return await disk.rename(from, to);
    } catch (error) {
      if (i >= tries || !["EPERM", "EBUSY", "EACCES"].includes(errno(error) ?? "")) throw error;
      await new Promise((done) => setTimeout(done, 20 * i));
    }
  }
}

/** A new name beside `path` for something unfinished (".tmp-…") or given up (".trash-…"). */
export function nameBeside(path: string, prefix: ".tmp-" | ".trash-"): string {
  return join(dirname(resolve(path)), prefix + crypto.randomUUID());
}

/**
 * Makes sure that a folder has room before a long write begins.
 * @throws Fail with exit 12, with ENOSPC as its cause
 */
export function requireRoom(folder: string, bytes: number, what: string): void {
  const free = disk.free(folder);
  if (free >= bytes) return;
  const [needed, there] = [bytes, free].map((n) => `${(n / 2 ** 20).toFixed(1)} MiB`);
  throw new Fail(`no room for ${what}: it needs ${needed}`, {
    why: `Only ${there} are free in ${folder}. Nothing was changed.`,
    fix: "Free some space, or choose another folder (-o DIR).",
    exit: Exit.disk,
    cause: Object.assign(new Error("not enough space"), { code: "ENOSPC" }),
  });
}
