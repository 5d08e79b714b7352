import { createHash, randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";

/** A file to be unpacked. */
export interface Packed {
  readonly name: string;
  /** Of the unpacked bytes, in hex; without it the bytes themselves are compared. */
  readonly sha256?: string;
  bytes(): Uint8Array;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Folders where unpacked files may be kept, best first. WHET_CACHE, when set, is the only one; the
 * last resort is a folder of this user's own under the system's temporary folder.
 */
export function cacheRoots(
  env: Environment = process.env,
  platform: string = process.platform,
): string[] {
  if (env.WHET_CACHE) return [env.WHET_CACHE];
  const home = env.HOME || homedir();
  const user = platform === "win32"
    ? env.LOCALAPPDATA || join(home, "AppData", "Local")
    : platform === "darwin"
    ? join(home, "Library", "Caches")
    : env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME)
    ? env.XDG_CACHE_HOME
    : join(home, ".cache");
  return [join(user, "whet"), join(tmpdir(), `whet-${process.getuid?.() ?? "cache"}`)];
}

/**
 * Puts the files in `<root>/<name>`, keeping those that are already there and right, and replacing
 * those that are not. Each appears whole or not at all, so that two programs may do it at once.
 * @returns the folder
 * @throws the system's error, or an Error when the folder belongs to somebody else
 */
export function unpack(root: string, name: string, files: readonly Packed[]): string {
  const folder = join(root, name);
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = fs.lstatSync(folder);
  if (process.getuid && (uid !== process.getuid() || (mode & 0o22) !== 0)) {
    throw new Error("the folder can be written by another user");
  }
  for (const file of files) {
    const target = join(folder, file.name);
    if (right(target, file)) continue;
    const temporary = `${target}.${randomUUID()}`;
    try {
      fs.writeFileSync(temporary, file.bytes(), { mode: 0o700, flag: "wx" });
      fs.renameSync(temporary, target);
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw error;
    }
    if (!right(target, file)) throw new Error(`${file.name} does not read back as it was written`);
  }
  return folder;
}

function right(path: string, file: Packed): boolean {
  const stat = fs.lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return false;
  const bytes = fs.readFileSync(path);
  return file.sha256
    ? createHash("sha256").update(bytes).digest("hex") === file.sha256
    : bytes.equals(file.bytes());
}
