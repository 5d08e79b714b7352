/**
 * One model in several GGUF files, as llama.cpp splits them: NAME-00001-of-0000N.gguf holds all metadata,
 * every part some of the tensors and the keys split.no (from 0), split.count and split.tensors.count.
 */
import { existsSync, rmSync } from "node:fs";
import type { Written } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import type { GgufFile } from "./gguf.ts";
import { bytesOf } from "./gguf_blocks.ts";
import type { GgufTensor } from "./gguf_header.ts";
import { type GgufValue, i32, integerAt, type Metadata } from "./gguf_types.ts";
import { type GgufSource, writeGguf } from "./gguf_write.ts";

const [NO, COUNT, TENSORS] = ["split.no", "split.count", "split.tensors.count"];
const NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
const most = 65_535;

/** The path of part `no`, from 0, of `count`. */
export function partPath(stem: string, no: number, count: number): string {
  const five = (n: number) => String(n).padStart(5, "0");
  return `${stem}-${five(no + 1)}-of-${five(count)}.gguf`;
}

const sizeOf = ({ type, shape }: GgufSource) =>
  bytesOf(type, shape.reduce((product, size) => product * size, 1));

/** Tensors in order, in as few parts as fit; a larger one has a part of its own. */
function cut(tensors: readonly GgufSource[], maxBytes: number): GgufSource[][] {
  const parts: GgufSource[][] = [[]];
  let held = 0;
  for (const tensor of tensors) {
    const bytes = sizeOf(tensor);
    if (held > 0 && held + bytes > maxBytes) {
      parts.push([]);
      held = 0;
    }
    parts.at(-1)!.push(tensor);
    held += bytes;
  }
  return parts;
}

export interface WrittenParts extends Pick<Written, "size"> {
  /** In order; one where nothing had to be split. */
  readonly paths: readonly string[];
  /** Of the one file. */
  readonly sha256?: string;
}

/**
 * Writes a GGUF file, in parts where its tensors take more than `maxBytes`. The first part is written last:
 * where it is, all are. When anything fails no part is left.
 *
 * @param check is told every path before the first is written
 * @throws Fail as writeGguf, and when there would be too many parts
 */
export async function writeGgufParts(
  path: string,
  file: { readonly metadata: Metadata; readonly tensors: readonly GgufSource[] },
  maxBytes = Infinity,
  check?: (path: string) => void,
): Promise<WrittenParts> {
  const parts = cut(file.tensors, maxBytes), count = parts.length;
  if (count > most) {
    throw new Fail(`${count} parts are more than a GGUF file can have`, {
      fix: "--split-max-size 2GB",
      exit: Exit.usage,
    });
  }
  const stem = path.replace(/\.gguf$/, "");
  const paths = count === 1 ? [path] : parts.map((_, no) => partPath(stem, no, count));
  for (const path of paths) check?.(path);
  if (count === 1) return { paths, ...await writeGguf(path, file) };
  let size = 0;
  const done: string[] = [];
  try {
    for (let no = count - 1; no >= 0; no--) {
      const keys: [string, GgufValue][] = [
        [NO!, { type: "u16", value: no }],
        [COUNT!, { type: "u16", value: count }],
        [TENSORS!, i32(file.tensors.length)],
      ];
      const metadata: Metadata = new Map([...no === 0 ? file.metadata : [], ...keys]);
      const written = await writeGguf(paths[no]!, { metadata, tensors: parts[no]! });
      done.push(paths[no]!);
      size += written.size;
    }
  } catch (error) {
    for (const path of done) rmSync(path, { force: true });
    throw error;
  }
  return { paths, size };
}

function wrong(path: string, what: string, fix: string): Fail {
  return new Fail(`${path}: ${what}`, { why: "the model is split", fix, exit: Exit.data });
}

/**
 * The file with what is in the parts that follow it, when it is the first of several.
 *
 * @param open opens a part by its path
 * @throws Fail naming the part that is missing, of another model, or not the first; the files are closed
 */
export function joinParts(first: GgufFile, open: (path: string) => GgufFile): GgufFile {
  const parts = [first];
  const close = () => parts.forEach((part) => part.close());
  try {
    const count = integerAt(first.metadata, COUNT!, { max: most }) ?? 1;
    if (count <= 1) return first;
    const { path } = first, [, stem, named, of] = NAME.exec(path) ?? [];
    const no = integerAt(first.metadata, NO!, { max: most }) ?? 0;
    if (no !== 0) {
      const start = stem === undefined ? "the first part" : partPath(stem, 0, count);
      throw wrong(path, `this is part ${no + 1} of ${count}`, `name the first one: ${start}`);
    }
    if (stem === undefined || Number(named) !== 1 || Number(of) !== count) {
      const name = partPath("NAME", 0, count);
      throw wrong(path, `it is the first of ${count} parts`, `give it its name back: ${name}`);
    }
    const owners = new Map([...first.tensors.keys()].map((name) => [name, first]));
    const tensors = new Map<string, GgufTensor>(first.tensors);
    for (let i = 1; i < count; i++) {
      const beside = partPath(stem, i, count);
      if (!existsSync(beside)) {
        throw wrong(path, `part ${i + 1} of ${count} is missing: ${beside}`, "download it too");
      }
      const part = open(beside);
      parts.push(part);
      const said = [NO!, COUNT!].map((key) => integerAt(part.metadata, key, { max: most }));
      if (said[0] !== i || said[1] !== count) {
        const fix = "take all parts from one download";
        throw wrong(beside, `it does not say that it is part ${i + 1} of ${count}`, fix);
      }
      for (const [name, tensor] of part.tensors) {
        if (owners.has(name)) {
          throw wrong(beside, `${name} is in an earlier part too`, "download the parts again");
        }
        owners.set(name, part);
        tensors.set(name, tensor);
      }
    }
    const promised = integerAt(first.metadata, TENSORS!) ?? tensors.size;
    if (promised !== tensors.size) {
      const what = `the parts hold ${tensors.size} tensors, ${promised} were promised`;
      throw wrong(path, what, "download the parts again");
    }
    const owner = (name: string) => owners.get(name) ?? first; // which says that it has none
    return {
      ...first,
      tensors,
      size: parts.reduce((sum, { size }) => sum + size, 0),
      readBytes: (name, from, to) => owner(name).readBytes(name, from, to),
      readF32: (name, from, to) => owner(name).readF32(name, from, to),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}
