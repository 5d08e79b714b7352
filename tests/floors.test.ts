import { Glob } from "bun";
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { blankComments, imports } from "./imports.ts";

const root = join(import.meta.dir, "..");

/**
 * The floors of README.md: a file imports from its own folder and from lower floors. Of the two on
 * floor 0, base stands under settings.
 */
const floors: Record<string, number> = {
  "src/main": 9,
  "src/commands": 8,
  "src/serve": 7,
  "src/remote": 7,
  "src/trainer": 6,
  "src/generate": 6,
  "src/evaluate": 6,
  "src/export": 6,
  "src/report": 6,
  "src/data": 6,
  "src/teachers": 6,
  "src/architectures": 5,
  "src/nn": 4,
  "kernels": 3,
  "src/graph": 2,
  "src/gpu": 1,
  "src/formats": 1,
  "src/text": 1,
  "src/settings": 0.5,
  "src/base": 0,
  "package.json": -1, // for the version
};

function folder(file: string): string | undefined {
  return Object.keys(floors).find((name) =>
    file === name || file === `${name}.ts` || file === `${name}.tsx` || file.startsWith(`${name}/`)
  );
}

/** What is wrong with one import, or undefined. */
function fault(file: string, target: string): string | undefined {
  const from = folder(file)!;
  const to = folder(target);
  if (/\.(test|deep)\.ts$/.test(target)) return `${file} imports the test ${target}`;
  if (to === undefined) return `${file} imports ${target}, which is on no floor`;
  if (to === from || floors[to]! < floors[from]!) return undefined;
  return `${file} (floor ${floors[from]}) imports ${target} (floor ${floors[to]})`;
}

function sources(): string[] {
  return [...new Glob("{src,kernels}/**/*.{ts,tsx}").scanSync(root)]
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => !/\.(test|deep)\.ts$|\.d\.ts$/.test(file)).sort();
}

test("every source is on a floor", () => {
  expect(sources().length).toBeGreaterThan(5);
  expect(sources().filter((file) => !folder(file))).toEqual([]);
});

test("imports only go down", () => {
  const faults = sources().flatMap((file) =>
    imports(readFileSync(join(root, file), "utf8"))
      .filter((path) => path.startsWith("."))
      .map((path) => fault(file, posix.join(posix.dirname(file), path)))
      .filter((text) => text !== undefined)
  );
  expect(faults).toEqual([]);
});

test("the rule sees what it should", () => {
  expect(fault("src/nn/linear.ts", "kernels/matmul/matmul.ts")).toBeUndefined();
  expect(fault("src/nn/linear.ts", "src/nn/norm.ts")).toBeUndefined();
  expect(fault("kernels/add/add.ts", "src/nn/linear.ts")).toContain("floor 4");
  expect(fault("src/gpu/device.ts", "src/text/tokenizer.ts")).toContain("floor 1");
  expect(fault("src/main.ts", "scripts/build.ts")).toContain("on no floor");
  expect(fault("src/gpu/device.ts", "src/gpu/device.test.ts")).toContain("test");
});

test("imports are found in every form", () => {
  const text = `
import "./a.ts";
import b, { c } from "./b.ts";
import type { D } from "./c.ts";
import {
  e, // with a comment
} from './d.ts';
export * from "./e.ts";
export { f } from "./f.ts";
const g = await import("./g.ts");
type H = import("./h.ts").H;
// import "./no.ts"
/* import "./no.ts" */
const url = "http://x"; import "./i.ts";
const i = "not from './no.ts'";
`;
  const found = imports(text);
  expect(found.filter((path) => path !== "./no.ts").sort()).toEqual(
    ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map((name) => `./${name}.ts`),
  );
  expect(blankComments("a // b\nc /* d\n */ e")).toBe("a     \nc     \n    e");
});

test("the graph, which everything stands on, stays under 600 lines of code", () => {
  const lines = sources().filter((file) => file.startsWith("src/graph/")).flatMap((file) =>
    blankComments(readFileSync(join(root, file), "utf8")).split("\n")
  );
  expect(lines.filter((line) => line.trim() !== "").length).toBeLessThan(600);
});
