import { Glob } from "bun";
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { declared } from "../src/gpu/link.ts";

const root = join(import.meta.dir, "..");
const kernels = [...new Glob("kernels/*/**/*.wgsl").scanSync(root)]
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => !file.startsWith("kernels/common/")).sort();

/** The tensors that the header comment describes: `//   x, y   f32[T]   read   meaning`. */
function header(code: string): Map<string, string> {
  const described = new Map<string, string>();
  for (const line of code.split("\n")) {
    if (!line.startsWith("//")) break;
    const match =
      /^\/\/\s+(\w+(?:,\s*\w+)*)\s+([\w<>| ]+(?:\[[^\]]*\])?[^[\]]*?)\s+(read_write|read, write|read|write|uniform)(?:\s|$)/
        .exec(line);
    if (!match) continue;
    const access = match[3] === "read" || match[3] === "uniform" ? match[3] : "read_write";
    for (const name of match[1]!.split(",")) described.set(name.trim(), access);
  }
  return described;
}

/** How header and bindings of one file, a kernel or a part of kernels, differ. */
function differences(file: string, code: string): string[] {
  const described = header(code);
  const wrong: string[] = [];
  if (!code.startsWith("// ")) wrong.push(`${file}: has no header`);
  for (const { binding: { name, access } } of declared({ file, code })) {
    const said = described.get(name);
    if (said !== access) {
      wrong.push(`${file}: ${name} is ${access}, the header says ${said ?? "nothing"}`);
    }
    described.delete(name);
  }
  for (const name of described.keys()) wrong.push(`${file}: the header's ${name} is no binding`);
  return wrong;
}

test("every kernel's header names its bindings and what it does with them", () => {
  expect(kernels.length).toBeGreaterThan(0);
  expect(kernels.flatMap((file) => differences(file, readFileSync(join(root, file), "utf8"))))
    .toEqual([]);
});

test("differences are found", () => {
  const code = `// scale: y = x
//   x, z   f32[T, C]   read    activations
//   y      Elem[C]     write
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> w: array<f32>;
`;
  expect(differences("k.wgsl", code)).toEqual([
    "k.wgsl: z is read_write, the header says read",
    "k.wgsl: w is read_write, the header says nothing",
    "k.wgsl: the header's y is no binding",
  ]);
});
