/**
 * What a disk may hold after a power cut. Calls on the disk seam are recorded while they are really
 * made; then states are built in which anything not yet synced has happened, has not, or has half.
 * The model is weaker than real file systems: unsynced changes of names may survive in any subset.
 */
import * as fs from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { disk } from "../src/base/disk.ts";

type Inode = number;
export type Operation =
  | {
    readonly kind: "names";
    readonly dir: Inode;
    readonly set: readonly (readonly [string, Inode | null])[];
  }
  | { readonly kind: "write"; readonly file: Inode; readonly bytes: Uint8Array }
  | { readonly kind: "sync"; readonly inode: Inode; readonly isFolder: boolean }
  | { readonly kind: "promise"; readonly note: string };

export interface Recording {
  readonly operations: readonly Operation[];
  readonly folders: ReadonlySet<Inode>;
}

const root: Inode = 0;

/** Records all durable writing below an existing empty folder while `work` runs. */
export async function record(
  folder: string,
  work: (promise: (note: string) => void) => Promise<void>,
): Promise<Recording> {
  const real = { ...disk };
  const operations: Operation[] = [];
  const folders = new Set<Inode>([root]);
  const inodes = new Map<string, Inode>([[resolve(folder), root]]);
  const open = new Map<number, Inode>();
  let next = 1;

  const inodeOf = (path: string): Inode => {
    const found = inodes.get(resolve(path));
    if (found === undefined) throw new Error(`${path} was not made while recording`);
    return found;
  };
  const add = (path: string): Inode => {
    inodes.set(resolve(path), next);
    operations.push({
      kind: "names",
      dir: inodeOf(dirname(resolve(path))),
      set: [[basename(path), next]],
    });
    return next++;
  };
  const remove = (path: string): void => {
    operations.push({
      kind: "names",
      dir: inodeOf(dirname(resolve(path))),
      set: [[basename(path), null]],
    });
    inodes.delete(resolve(path));
  };
  const removeTree = (path: string): void => {
    if (!fs.existsSync(path)) return;
    if (fs.statSync(path).isDirectory()) {
      for (const name of fs.readdirSync(path)) removeTree(join(path, name));
    }
    remove(path);
  };
  try {
    Object.assign(disk, {
      async open(path: string, flags: "r" | "wx") {
        const fd = await real.open(path, flags);
        open.set(fd, flags === "wx" ? add(path) : inodeOf(path));
        return fd;
      },
      async write(fd: number, bytes: Uint8Array) {
        const n = await real.write(fd, bytes);
        operations.push({ kind: "write", file: open.get(fd)!, bytes: bytes.slice(0, n) });
        return n;
      },
      async fsync(fd: number) {
        await real.fsync(fd);
        const inode = open.get(fd)!;
        operations.push({ kind: "sync", inode, isFolder: folders.has(inode) });
      },
      async rename(from: string, to: string) {
        await real.rename(from, to);
        const dir = inodeOf(dirname(resolve(from)));
        if (dir !== inodeOf(dirname(resolve(to)))) throw new Error("renamed into another folder");
        const inode = inodeOf(from);
        operations.push({
          kind: "names",
          dir,
          set: [[basename(from), null], [basename(to), inode]],
        });
        for (const [path, below] of [...inodes]) {
          if (path !== resolve(from) && !path.startsWith(resolve(from) + "/")) continue;
          inodes.delete(path);
          inodes.set(resolve(to) + path.slice(resolve(from).length), below);
        }
      },
      async unlink(path: string) {
        await real.unlink(path);
        remove(path);
      },
      async mkdir(path: string) {
        await real.mkdir(path);
        folders.add(add(path));
      },
      removeTree(path: string) {
        removeTree(path);
        return real.removeTree(path);
      },
    });
    await work((note) => operations.push({ kind: "promise", note }));
  } finally {
    Object.assign(disk, real);
  }
  return { operations, folders };
}

/** A file's bytes or a folder's entries, after the cut. */
export type Tree = Map<string, Tree | Uint8Array>;

/** One state after a cut just before operation `at`, with `random` deciding what survived. */
export function cut({ operations, folders }: Recording, at: number, random: () => number): Tree {
  const names = new Map<Inode, Map<string, Inode>>();
  const content = new Map<Inode, Uint8Array>();
  const syncedUntil = new Map<Inode, number>();
  for (let i = 0; i < at; i++) {
    const operation = operations[i]!;
    if (operation.kind === "sync") syncedUntil.set(operation.inode, i);
  }
  // Now and then nothing unsynced survives, or all of it: the two ends of the range.
  const mood = random();
  const survives = () => mood < 0.1 ? false : mood > 0.9 ? true : random() < 0.5;
  for (let i = 0; i < at; i++) {
    const operation = operations[i]!;
    if (operation.kind === "names") {
      if (i > (syncedUntil.get(operation.dir) ?? -1) && !survives()) continue;
      const entries = names.get(operation.dir) ?? new Map<string, Inode>();
      names.set(operation.dir, entries);
      for (const [name, inode] of operation.set) {
        if (inode === null) entries.delete(name);
        else entries.set(name, inode);
      }
    } else if (operation.kind === "write") {
      let { bytes } = operation;
      if (i > (syncedUntil.get(operation.file) ?? -1) && !survives()) {
        const fate = random();
        if (fate < 0.4) continue;
        bytes = bytes.slice();
        const whole = Math.floor(random() * (bytes.length / 512 + 1)) * 512;
        if (fate < 0.7) bytes.fill(0, Math.min(whole, bytes.length));
        else bytes = bytes.subarray(0, whole);
      }
      const before = content.get(operation.file) ?? new Uint8Array(0);
      content.set(operation.file, Buffer.concat([before, bytes]));
    }
  }
  const grow = (inode: Inode): Tree =>
    new Map([...names.get(inode) ?? []].map(([name, child]) => [
      name,
      folders.has(child) ? grow(child) : content.get(child) ?? new Uint8Array(0),
    ]));
  return grow(root);
}

/** A tree as text, equal only for equal trees, whatever temporary names are called. */
export function identity(tree: Tree): string {
  const lines = [...tree].map(([name, value]) => {
    const shown = name.replace(/^\.(tmp|trash)-.*/, ".$1");
    return `${shown}:${value instanceof Uint8Array ? Bun.hash(value) : identity(value)}`;
  });
  return `{${lines.sort().join(",")}}`;
}

/** Makes a tree real. */
export function plant(tree: Tree, folder: string): void {
  fs.mkdirSync(folder);
  for (const [name, value] of tree) {
    if (value instanceof Uint8Array) fs.writeFileSync(join(folder, name), value);
    else plant(value, join(folder, name));
  }
}

/** The last note promised before operation `at`. */
export function promised({ operations }: Recording, at: number): string | undefined {
  for (let i = at - 1; i >= 0; i--) {
    const operation = operations[i]!;
    if (operation.kind === "promise") return operation.note;
  }
  return undefined;
}
