import { createHash } from "node:crypto";
import { Exit, Fail } from "../base/fail.ts";

/** The text of one .wgsl file; `file` is its path from the repository root, for error messages. */
export interface Source {
  readonly file: string;
  readonly code: string;
}

/** A kernel and everything that turns its text into one WGSL module. */
export interface Shader {
  readonly kernel: Source;
  /** Files with functions the kernel calls; each is written once. */
  readonly parts?: readonly Source[];
  /** A value for each `override` that has no default (and for any other that should change). */
  readonly constants?: Readonly<Record<string, number>>;
  /** Type names the kernel leaves open: `{ Elem: "f16" }` becomes `alias Elem = f16;`. */
  readonly alias?: Readonly<Record<string, string>>;
  /**
   * Bindings that are the same bytes, by name: `{ x: "y" }` for a kernel that reads x and writes y in its
   * place. WebGPU wants one binding then: x goes, and the rest move up.
   */
  readonly same?: Readonly<Record<string, string>>;
  /** The entry point, "main" unless told. */
  readonly entry?: string;
}

export interface Location {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

export interface Linked {
  readonly code: string;
  /** Equal exactly when code and entry are equal (64 bits of SHA-256). */
  readonly key: string;
  /** Where a 1-based line of `code` came from. */
  locate(line: number): Location;
}

export interface Binding {
  readonly name: string;
  readonly access: "read" | "read_write" | "uniform";
}

const linked = new WeakMap<Shader, Linked>();
const bound = new WeakMap<Shader, readonly Binding[]>();

/**
 * Writes one WGSL module: directives, aliases, parts, kernel. Overrides become constants, so that
 * they may size arrays and the compiler sees them; lines are kept, so that errors can be located.
 * @throws Fail for an override without a value, a constant nothing declares, or a value its type
 * cannot hold.
 */
export function link(shader: Shader): Linked {
  const known = linked.get(shader);
  if (known) return known;
  const constants = shader.constants ?? {};
  const unused = new Set(Object.keys(constants));
  const directives = new Set<string>();
  const body: { source: Source; lines: string[] }[] = [];
  for (const source of sources(shader)) {
    const code = hoist(settle(source, constants, unused), directives);
    body.push({ source, lines: code.split("\n") });
  }
  if (unused.size > 0) {
    throw mistake(`${shader.kernel.file} declares no override named ${[...unused].join(", ")}`);
  }
  const aliases = Object.entries(shader.alias ?? {}).sort().map(([name, type]) => {
    if (/\bf16\b/.test(type)) directives.add("enable f16;");
    return `alias ${name} = ${type};`;
  });
  const head = [...[...directives].sort(), ...aliases];
  const code = [...head, ...body.flatMap(({ lines }) => lines)].join("\n");
  const entry = shader.entry ?? "main";
  const key = createHash("sha256").update(`${entry}\n${code}`).digest("hex").slice(0, 16);
  const result: Linked = {
    code,
    key,
    locate(line) {
      let at = line - 1;
      if (at < head.length) return { file: "(linker)", line, text: head[at] ?? "" };
      at -= head.length;
      for (const { source, lines } of body) {
        if (at < lines.length) {
          return { file: source.file, line: at + 1, text: source.code.split("\n")[at] ?? "" };
        }
        at -= lines.length;
      }
      return { file: shader.kernel.file, line: 0, text: "" };
    },
  };
  linked.set(shader, result);
  return result;
}

/**
 * The kernel's bindings in order: the element at i is `@group(0) @binding(i)`.
 * @throws Fail when the numbers are not 0, 1, 2 … or a group other than 0 is used.
 */
export function bindings(shader: Shader): readonly Binding[] {
  const known = bound.get(shader);
  if (known) return known;
  const found = sources(shader).flatMap(declared);
  found.sort((a, b) => a.index - b.index);
  if (found.some(({ index }, i) => index !== i)) {
    const listed = found.map(({ index, binding }) => `${binding.name}=${index}`).join(", ");
    throw mistake(
      `${shader.kernel.file}: bindings must be 0, 1, 2 … without gaps, found ${listed}`,
    );
  }
  const result = found.map(({ binding }) => binding);
  bound.set(shader, result);
  return result;
}

/**
 * WebGPU refuses a dispatch in which a buffer is bound to be read and to be written. Where a kernel reads
 * and writes the same bytes, it is made to do both through the binding that writes.
 * @param places what is bound to each binding, in order
 * @returns the kernel, and the bindings that are left, by their number before
 */
export function bindOnce(
  shader: Shader,
  places: readonly { readonly buffer: unknown; readonly offset: number }[],
): { shader: Shader; kept: number[] } {
  const names = bindings(shader), same: Record<string, string> = {}, kept: number[] = [];
  places.forEach(({ buffer, offset }, i) => {
    const y = places.findIndex((other, j) =>
      j !== i && names[j]!.access === "read_write" && other.buffer === buffer &&
      other.offset === offset
    );
    if (y < 0) kept.push(i);
    else same[names[i]!.name] = names[y]!.name;
  });
  return { shader: kept.length === places.length ? shader : { ...shader, same }, kept };
}

/** The bindings that one file declares. @throws Fail when one has no number or is not in group 0 */
export function declared(source: Source): { index: number; binding: Binding }[] {
  const pattern =
    /((?:@(?:group|binding)\s*\(\s*\d+\s*\)\s*)+)var\s*<\s*(storage|uniform)\s*(?:,\s*(\w+)\s*)?>\s*(\w+)/g;
  return [...blank(source.code).matchAll(pattern)].map(([, places, space, access, name]) => {
    const index = /@binding\s*\(\s*(\d+)/.exec(places!)?.[1];
    if (index === undefined || /@group\s*\(\s*(\d+)/.exec(places!)?.[1] !== "0") {
      throw mistake(`${source.file}: ${name} must be in @group(0) and have a @binding`);
    }
    const storage = access === "read_write" ? "read_write" : "read";
    return {
      index: Number(index),
      binding: { name: name!, access: space === "uniform" ? "uniform" : storage },
    };
  });
}

/** The text with comments replaced by spaces: same length, same lines. */
export function blank(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => comment.replace(/[^\n]/g, " "));
}

function sources(shader: Shader): Source[] {
  const once = new Map<string, Source>();
  for (const source of [...(shader.parts ?? []), shader.kernel]) once.set(source.file, source);
  return shader.same ? unite([...once.values()], shader.same) : [...once.values()];
}

const DECLARATION = /@group\(0\)\s*@binding\((\d+)\)\s*var<storage,\s*\w+>\s*(\w+)\s*:\s*([^;]+);/g;

/** Takes the bindings that `same` names out and lets their users use the others. */
function unite(all: readonly Source[], same: Readonly<Record<string, string>>): Source[] {
  const types = new Map<string, string>(), gone: number[] = [];
  const aliases = new Map(
    all.flatMap(({ code }) => [...blank(code).matchAll(/\balias\s+(\w+)\s*=\s*([^;]+);/g)])
      .map(([, name, type]) => [name!, type!]),
  );
  const plain = (type: string): string =>
    type.replace(/\w+/g, (name) => aliases.has(name) ? plain(aliases.get(name)!) : name);
  for (const { code } of all) {
    for (const [, index, name, type] of blank(code).matchAll(DECLARATION)) {
      types.set(name!, plain(type!));
      if (name! in same) gone.push(Number(index));
    }
  }
  for (const [x, y] of Object.entries(same)) {
    if (types.has(x) && types.get(x) === types.get(y)) continue;
    throw mistake(`${all.at(-1)!.file}: ${x} and ${y} cannot be one binding: their types differ`);
  }
  return all.map(({ file, code }) => {
    let text = blank(code).replace(DECLARATION, (text, index, name) => {
      if (name in same) return "";
      const before = gone.filter((other) => other < Number(index)).length;
      return text.replace(/@binding\(\d+\)/, `@binding(${Number(index) - before})`);
    });
    // Only the file that declares a binding uses it: elsewhere the name is somebody else's.
    for (const { binding: { name } } of declared({ file, code })) {
      const use = new RegExp(`(?<![.\\w])${name}(?=\\s*\\[)|(?<=&)${name}\\b`, "g");
      if (name in same) text = text.replace(use, same[name]!);
    }
    return { file, code: text };
  });
}

function settle(
  source: Source,
  constants: Readonly<Record<string, number>>,
  unused: Set<string>,
): string {
  const pattern =
    /(?:@id\s*\(\s*\d+\s*\)\s*)?\boverride\s+(\w+)\s*(?::\s*(\w+))?\s*(?:=([^;]*))?;/g;
  let out = "";
  let end = 0;
  for (const match of blank(source.code).matchAll(pattern)) {
    const [text, name, type, initial] = match;
    const value = constants[name!];
    if (value !== undefined) unused.delete(name!);
    else if (initial === undefined) {
      throw mistake(`${source.file}: override ${name} has no value and no default`);
    }
    if (type === undefined) throw mistake(`${source.file}: override ${name} must name its type`);
    const written = value === undefined ? initial!.trim() : literal(source, name!, type, value);
    out += source.code.slice(end, match.index) + `const ${name}: ${type} = ${written};` +
      "\n".repeat(text.split("\n").length - 1);
    end = match.index + text.length;
  }
  return out + source.code.slice(end);
}

function literal(source: Source, name: string, type: string, value: number): string {
  const wrong = () => mistake(`${source.file}: ${name} = ${value} is not a ${type}`);
  switch (type) {
    case "u32":
      if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw wrong();
      return `${value}u`;
    case "i32":
      if (value !== (value | 0)) throw wrong();
      return `${value}i`;
    case "f32":
      if (!Number.isFinite(Math.fround(value))) throw wrong();
      return `${Math.fround(value)}f`;
    case "bool":
      if (value !== 0 && value !== 1) throw wrong();
      return value === 1 ? "true" : "false";
    default:
      throw mistake(`${source.file}: override ${name} has the unknown type ${type}`);
  }
}

/** Takes `enable …;`, `requires …;` and `diagnostic(…);` out, which WGSL wants before all else. */
function hoist(code: string, directives: Set<string>): string {
  const pattern = /^[ \t]*((?:enable|requires)\s+[\w\s,]+;|diagnostic\s*\([^)]*\)\s*;)/gm;
  let out = "";
  let end = 0;
  for (const match of blank(code).matchAll(pattern)) {
    directives.add(match[1]!.replace(/\s+/g, " "));
    const text = match[0];
    out += code.slice(end, match.index) + text.replace(/[^\n]/g, " ");
    end = match.index + text.length;
  }
  return out + code.slice(end);
}

function mistake(what: string): Fail {
  return new Fail(what, { exit: Exit.internal });
}
