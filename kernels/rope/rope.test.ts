import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { ropeOp } from "./rope.ts";
import { inverseFrequencies, ropeTables } from "./tables.ts";

interface Size {
  T: number;
  H: number;
  D: number;
  R: number;
  from?: number;
  P?: number;
  dtype?: "f16";
}
function of({ T, H, D, R, from = 0, P = from + T, dtype }: Size, inverse = false) {
  const { cos, sin } = ropeTables({ theta: 10_000, rotary: R, positions: P });
  return {
    op: ropeOp,
    attrs: { heads: H, rotary: R, inverse },
    inputs: [
      { shape: [T, H * D], dtype },
      { shape: [T], dtype: "u32" as const, data: Array.from({ length: T }, (_, t) => P - 1 - t) },
      { shape: [P, R / 2], data: cos, grad: false as const },
      { shape: [P, R / 2], data: sin, grad: false as const },
    ],
  };
}

test("rope: derivative", () => {
  checkDerivative(of({ T: 3, H: 2, D: 10, R: 6 }));
  checkDerivative(of({ T: 3, H: 2, D: 8, R: 8 }, true));
  checkDerivative(of({ T: 3, H: 2, D: 12, R: 8, dtype: "f16" }));
  expect(() => checkDerivative(of({ T: 3, H: 2, D: 12, R: 4, dtype: "f16" }))).toThrow(
    "rope: heads of 12 with 4 rotated must be f32",
  );
});

// Two products and a sum of numbers up to 1: three roundings.
const bound = () => 2 * 2 ** -23;
for (
  const size of [
    { T: 1, H: 1, D: 2, R: 2 },
    { T: 65, H: 3, D: 80, R: 32 },
    { T: 33, H: 2, D: 64, R: 64 },
    { T: 7, H: 5, D: 6, R: 4 },
    { T: 63, H: 1, D: 13, R: 10 },
    { T: 4, H: 1, D: 8, R: 8, from: 131_000 },
    { T: 65, H: 3, D: 80, R: 32, dtype: "f16" as const },
    { T: 1, H: 1, D: 8, R: 8, dtype: "f16" as const },
  ]
) {
  test(`rope: ${JSON.stringify(size)}`, async () => {
    await checkKernel(of(size), { bound });
    await checkKernel(of(size, true), { bound });
  });
}

test("rope: turning there and back changes nothing", () => {
  const c = of({ T: 5, H: 2, D: 6, R: 4 });
  const x = Float64Array.from({ length: 60 }, (_, i) => Math.sin(i));
  const rest = c.inputs.slice(1).map(({ data }) => Float64Array.from(data!));
  const node = { op: ropeOp, attrs: c.attrs, inputs: [{ shape: [5, 12] }], outputs: [] } as never;
  const [y] = ropeOp.reference([x, ...rest], c.attrs, node);
  const [back] = ropeOp.reference([y!, ...rest], { ...c.attrs, inverse: true }, node);
  expect(y).not.toEqual(x);
  back!.forEach((v, i) => expect(Math.abs(v - x[i]!)).toBeLessThan(1e-7));
});

test("tables: frequencies of plain, linear and Llama 3 models", () => {
  const plain = inverseFrequencies({ theta: 500_000, rotary: 64 });
  expect(plain[0]).toBe(1);
  plain.forEach((f, i) => expect(Math.abs(f / 500_000 ** (-i / 32) - 1)).toBeLessThan(3e-6));
  const linear = inverseFrequencies({
    theta: 500_000,
    rotary: 64,
    scaling: { type: "linear", factor: 8 },
  });
  expect([...linear]).toEqual([...plain].map((f) => f / 8));
  const scaling = {
    type: "llama3" as const,
    factor: 32,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalContext: 8192,
  };
  const llama = inverseFrequencies({ theta: 500_000, rotary: 64, scaling });
  plain.forEach((f, i) => {
    const length = 2 * Math.PI / f;
    if (length < 8192 / 4) expect(llama[i]!).toBe(f);
    else if (length > 8192) expect(llama[i]!).toBe(f / 32);
    else {
      expect(llama[i]!).toBeLessThan(f);
      expect(llama[i]!).toBeGreaterThan(f / 32);
    }
  });
  expect(() => inverseFrequencies({ theta: 1e4, rotary: 7 })).toThrow("even");
  const { cos, sin } = ropeTables({ theta: 10_000, rotary: 4, positions: 3 });
  expect(Math.abs(cos[4]! - Math.cos(2))).toBeLessThan(1e-7);
  expect(Math.abs(sin[5]! - Math.sin(0.02))).toBeLessThan(1e-8);
});

test("tables: dynamic scaling is plain up to the model's context, and another base beyond", () => {
  const scaling = { type: "dynamic" as const, factor: 2, context: 1024 };
  const of = (positions: number) =>
    inverseFrequencies({ theta: 1e4, rotary: 32, positions, scaling });
  expect(of(1024)).toEqual(inverseFrequencies({ theta: 1e4, rotary: 32 }));
  // base · (factor · length / context - (factor - 1))^(R / (R - 2)): 7^(32 / 30) for 4 times the context
  expect(of(4096)).toEqual(inverseFrequencies({ theta: 1e4 * 7 ** (32 / 30), rotary: 32 }));
});
test("tables: YaRN keeps what turns often, divides what turns seldom, and scales the result", () => {
  const scaling = {
    type: "yarn" as const,
    factor: 4,
    originalContext: 32768,
    betaFast: 32,
    betaSlow: 1,
    truncate: true,
    attentionFactor: 0.1 * Math.log(4) + 1,
  };
  const plain = inverseFrequencies({ theta: 1e6, rotary: 128 });
  const yarn = inverseFrequencies({ theta: 1e6, rotary: 128, scaling });
  // The pairs at which 32 turns and 1 turn fit the original context: 23.6 and 39.6.
  plain.forEach((f, i) => {
    const ramp = Math.min(1, Math.max(0, (i - 23) / (40 - 23)));
    const want = f / 4 * ramp + f * (1 - ramp);
    expect(Math.abs(yarn[i]! / want - 1)).toBeLessThan(1e-6);
  });
  const { cos } = ropeTables({ theta: 1e6, rotary: 128, positions: 2, scaling });
  expect(Math.abs(cos[0]! - 1.138629436)).toBeLessThan(1e-7);
});
test("tables: LongRoPE divides by the list for short texts, and for long ones", () => {
  const scaling = {
    type: "longrope" as const,
    short: [1, 1.5],
    long: [2, 8],
    originalContext: 64,
    attentionFactor: 1,
  };
  const of = (positions: number) => [
    ...inverseFrequencies({ theta: 1e4, rotary: 4, positions, scaling }),
  ];
  expect(of(64)).toEqual([1, Math.fround(1 / 150)]);
  expect(of(65)).toEqual([0.5, Math.fround(1 / 800)]);
  expect(() => inverseFrequencies({ theta: 1e4, rotary: 6, scaling })).toThrow(
    "2 divisors for the 3 pairs",
  );
});
