import { describe, expect, test } from "bun:test";
import { Fail } from "../base/fail.ts";
import { bindings, bindOnce, link, type Shader } from "./link.ts";

const kernel = {
  file: "kernels/scale/scale.wgsl",
  code: `// override OLD: u32; in a comment is not an override
enable subgroups;
override C: u32;
override EPSILON: f32 = 1e-5;
@id(7) override SIGN:
  i32;
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
@binding(0) @group(0) var<storage, read> x: array<Elem>;
@group(0) @binding(2) var<uniform> step: u32;
@compute @workgroup_size(64) fn main() { y[0] = half(x[C]); }
`,
};
const part = {
  file: "kernels/common/half.wgsl",
  code: "fn half(v: Elem) -> Elem { return v / 2; }",
};
const shader: Shader = {
  kernel,
  parts: [part, part],
  constants: { C: 5, SIGN: -1 },
  alias: { Elem: "f16" },
};

describe("link", () => {
  const { code, locate, key } = link(shader);

  test("writes directives, aliases, parts once, kernel", () => {
    expect(code.split("\n").slice(0, 4)).toEqual([
      "enable f16;",
      "enable subgroups;",
      "alias Elem = f16;",
      part.code,
    ]);
    expect(code.split("fn half").length).toBe(2);
    expect(code.match(/enable subgroups;/g)?.length).toBe(1);
  });

  test("turns overrides into constants of their type", () => {
    expect(code).toContain("const C: u32 = 5u;");
    expect(code).toContain("const EPSILON: f32 = 1e-5;");
    expect(code).toContain("const SIGN: i32 = -1i;");
    expect(code).not.toMatch(/^override/m);
    expect(code).toContain("// override OLD: u32;");
  });

  test("a float is written so that it reads back as the same float", () => {
    const scale = (value: number) =>
      link({ kernel: { file: "k", code: "override S: f32;" }, constants: { S: value } }).code;
    for (const value of [0.1, 1 / 3, 1e-38, 3.4e38, -2, 0]) {
      const [, text] = /= (.*)f;/.exec(scale(value))!;
      expect(Math.fround(Number(text))).toBe(Math.fround(value));
    }
  });

  test("locates every line of the module", () => {
    const lines = code.split("\n");
    const at = (text: string) => locate(lines.findIndex((line) => line.includes(text)) + 1);
    expect(at("fn half")).toEqual({ file: part.file, line: 1, text: part.code });
    const body = kernel.code.split("\n");
    expect(at("fn main")).toEqual({ file: kernel.file, line: 10, text: body[9]! });
    expect(at("alias Elem").file).toBe("(linker)");
  });

  test("the key follows the text and the entry point", () => {
    expect(link({ ...shader }).key).toBe(key);
    expect(link({ ...shader, constants: { C: 6, SIGN: -1 } }).key).not.toBe(key);
    expect(link({ ...shader, entry: "other" }).key).not.toBe(key);
  });

  test("refuses constants that are missing, unknown or of the wrong type", () => {
    const bad = (constants: Record<string, number>) => () => link({ ...shader, constants });
    expect(bad({ C: 5 })).toThrow("SIGN has no value");
    expect(bad({ C: 5, SIGN: 1, D: 2 })).toThrow("no override named D");
    expect(bad({ C: -5, SIGN: 1 })).toThrow("C = -5 is not a u32");
    expect(bad({ C: 1.5, SIGN: 1 })).toThrow(Fail);
    expect(bad({ C: 1, SIGN: 2 ** 31 })).toThrow("is not a i32");
    expect(bad({ C: 1, SIGN: 1, EPSILON: NaN })).toThrow("is not a f32");
  });
});

describe("bindings", () => {
  test("are read from the text in order", () => {
    expect(bindings(shader)).toEqual([
      { name: "x", access: "read" },
      { name: "y", access: "read_write" },
      { name: "step", access: "uniform" },
    ]);
  });

  test("must be 0, 1, 2 in group 0", () => {
    const declare = (code: string) => () => bindings({ kernel: { file: "k.wgsl", code } });
    expect(declare("@group(0) @binding(1) var<storage, read> x: array<u32>;")).toThrow("x=1");
    expect(declare("@group(1) @binding(0) var<storage, read> x: array<u32>;")).toThrow("group(0)");
    expect(declare("// @group(0) @binding(3) var<storage> x: u32;")()).toEqual([]);
  });
});

test("bindOnce lets a kernel write where it reads, through one binding", () => {
  const code = `@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> gain: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
fn main() { let n = arrayLength(&x); y[0] = x[0].x * gain[0] + turn(x[n - 1].x, gain[0]); }`;
  const turn = { file: "turn.wgsl", code: "fn turn(x: f32, y: f32) -> f32 { return x / y; }" };
  const shader: Shader = { kernel: { file: "k.wgsl", code }, parts: [turn] };
  const [a, b, c] = ["a", "b", "c"].map((buffer) => ({ buffer, offset: 256 }));
  expect(bindOnce(shader, [a!, b!, c!])).toEqual({ shader, kept: [0, 1, 2] });
  expect(bindOnce(shader, [a!, b!, { ...a!, offset: 0 }]).kept).toEqual([0, 1, 2]);
  const once = bindOnce(shader, [a!, b!, a!]);
  expect(once.kept).toEqual([1, 2]);
  expect(bindings(once.shader)).toEqual([
    { name: "gain", access: "read" },
    { name: "y", access: "read_write" },
  ]);
  const { code: linked } = link(once.shader);
  expect(linked).toContain("arrayLength(&y); y[0] = y[0].x * gain[0] + turn(y[n - 1].x, gain[0]);");
  expect(linked).toContain(turn.code);
  expect(link(once.shader).key).not.toBe(link(shader).key);
  const named = code.replace("y: array<vec4f>", "y: array<Four>") + "\nalias Four = vec4f;";
  const aliased = { ...shader, kernel: { file: "k.wgsl", code: named } };
  expect(link(bindOnce(aliased, [a!, b!, a!]).shader).code).toContain("y[0] = y[0].x");
  const other = { ...shader, kernel: { file: "k.wgsl", code: code.replace("vec4f", "vec2f") } };
  expect(() => link(bindOnce(other, [a!, b!, a!]).shader)).toThrow("types differ");
});
