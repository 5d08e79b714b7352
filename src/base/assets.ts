import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheRoots, type Packed, unpack } from "./cache.ts";
import { Exit, Fail } from "./fail.ts";

/** A file inside the program: where the runtime finds it, and what it is when unpacked. */
export interface Asset {
  readonly at: string;
  readonly sha256: string;
  readonly zstd: boolean;
}

/** What the build put into the program beside its code. */
export interface Build {
  /** The git commit it was made from, with "+" when files had been changed since. */
  readonly commit: string;
  /** By path from the repository root. */
  readonly files: Readonly<Record<string, Asset>>;
}

const root = join(import.meta.dirname, "../..");
let build: Build | undefined;

/** Called once by the entry file of a compiled program. */
export function useBuild(made: Build): void {
  build = made;
}

/** True in a compiled program, false when the sources run. */
export function isBuilt(): boolean {
  return build !== undefined;
}

/** The git commit this program was built from; "development" when the sources run. */
export function commit(): string {
  return build?.commit ?? "development";
}

/** Names of the files in a folder of the repository that travel with the program, sorted. */
export function assetNames(folder: string): string[] {
  const prefix = `${folder}/`;
  if (build) {
    return Object.keys(build.files).filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length)).sort();
  }
  try {
    return readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => entry.isFile()).map(({ name }) => name).sort();
  } catch {
    return [];
  }
}

/**
 * The bytes of a file that travels with the program, by its path from the repository root.
 * @throws Fail (exit 1) when it was not built in
 */
export function asset(path: string): Uint8Array {
  if (!build) return readFileSync(join(root, path));
  const found = build.files[path];
  if (!found) throw new Fail(`${path} is not part of this program`);
  const bytes = readFileSync(found.at);
  return found.zstd ? Bun.zstdDecompressSync(bytes) : bytes;
}

/**
 * A folder on the disk with the files of a folder of the repository: that folder itself when the
 * sources run, an unpacked and verified copy of it in a compiled program.
 * @throws Fail (exit 12) when no place can be written
 */
export function assetFolder(folder: string): string {
  if (!build) return join(root, folder);
  const files = packed(folder);
  const errors: string[] = [];
  for (const place of cacheRoots()) {
    try {
      return unpack(place, packedName(folder, files), files);
    } catch (error) {
      errors.push(`${place}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new Fail(`There is no place to unpack ${folder}`, {
    why: errors.join("; "),
    fix: "set WHET_CACHE to a folder that can be written",
    exit: Exit.disk,
  });
}

/** The files under a folder, ready to be unpacked. */
export function packed(folder: string): Packed[] {
  return assetNames(folder).map((name) => ({
    name,
    sha256: build?.files[`${folder}/${name}`]?.sha256,
    bytes: () => asset(`${folder}/${name}`),
  }));
}

/** A folder name that changes when any of the files does. */
export function packedName(folder: string, files: readonly Packed[]): string {
  const hash = createHash("sha256");
  for (const { name, sha256 } of files) hash.update(`${name} ${sha256}\n`);
  return `${folder.replaceAll("/", "-")}-${hash.digest("hex").slice(0, 16)}`;
}
