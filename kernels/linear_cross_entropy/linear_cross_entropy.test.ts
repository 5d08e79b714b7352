import { expect, test } from "bun:test";
import { checkDerivative, checkKernel } from "../check.ts";
import { asHere, narrow } from "../common/testing.ts";
import { type CrossEntropyAttrs, linearCrossEntropyOp } from "./linear_cross_entropy.ts";

const NONE = 0xffffffff;
interface Sizes {
  S: number;
  C: number;
  V: number;
  scale?: number;
  dtype?: "f32" | "f16" | "bf16";
  stored?: "f16";
}

/** Every fifth row is not asked for. */
function of(
  { S, C, V, scale = 1, dtype = "f32", stored }: Sizes,
  change: Partial<CrossEntropyAttrs> = {},
) {
  const attrs = {
    chunk: 64,
    gradient: true,
    bias: false,
    trainsW: false,
    trainsBias: false,
    smoothing: 0,
    ...change,
  };
  const learns = (yes: boolean) => yes ? {} : { grad: false as const };
  const inputs: Parameters<typeof checkKernel>[0]["inputs"][number][] = [
    { shape: [S, C], scale, dtype: stored },
    { shape: [V, C], dtype, scale, ...learns(attrs.trainsW) },
    {
      shape: [S],
      dtype: "u32",
      data: Array.from({ length: S }, (_, s) => s % 5 === 4 ? NONE : (s * 7) % V),
    },
    { shape: [S], data: Array.from({ length: S }, (_, s) => 0.1 + (s % 3) / 10), grad: false },
  ];
  if (attrs.bias) inputs.push({ shape: [V], ...learns(attrs.trainsBias) });
  if (attrs.trainsBias) inputs.push({ shape: [64, 1], data: new Array(64).fill(1), grad: false });
  return { op: linearCrossEntropyOp, attrs, inputs };
}

test("linear_cross_entropy: derivative of the loss and of each row", () => {
  const small = { S: 6, C: 3, V: 5 };
  expect(checkDerivative(of(small))).toBeLessThan(1e-6);
  expect(checkDerivative(of(small), [0, 1])).toBeLessThan(1e-6);
  expect(checkDerivative(of(small, { bias: true }))).toBeLessThan(1e-6);
});
test("linear_cross_entropy: derivative with a cap on the logits", () => {
  const small = { S: 6, C: 3, V: 5 };
  expect(checkDerivative(of(small, { cap: 1.5 }), [0, 1])).toBeLessThan(1e-6);
  const all = { bias: true, trainsW: true, trainsBias: true, cap: 1.5 };
  expect(checkDerivative(of(small, all))).toBeLessThan(1e-6);
});
test("linear_cross_entropy: derivative with softened labels", () => {
  const small = { S: 6, C: 3, V: 5 }, smoothing = 0.2;
  expect(checkDerivative(of(small, { smoothing }), [0, 1])).toBeLessThan(1e-6);
  const all = { bias: true, trainsW: true, trainsBias: true, smoothing };
  expect(checkDerivative(of(small, all))).toBeLessThan(1e-6);
});
test("linear_cross_entropy: softened labels are the cross entropy to torch's target distribution", () => {
  const z = [2, -1, 0.5, 3], V = 4, label = 2, e = 0.3;
  const c = of({ S: 1, C: 1, V }, { smoothing: e, gradient: false });
  const values = [[1], z, [label], [1]].map((v) => Float64Array.from(v));
  const node = {
    inputs: [{ shape: [1, 1] }, { shape: [V, 1] }],
    outputs: [[1], [1], [1], [1], [1, V]].map((shape) => ({ shape })),
  };
  const [loss] = linearCrossEntropyOp.reference(values, c.attrs, node as never);
  const log = Math.log(z.reduce((sum, v) => sum + Math.exp(v), 0));
  const want = z.reduce(
    (sum, v, i) => sum + (e / V + (i === label ? 1 - e : 0)) * (log - v),
    0,
  );
  expect(Math.abs(loss![0]! - want)).toBeLessThan(1e-12);
});
test("linear_cross_entropy: derivative with a projection and a bias that learn", () => {
  const all = { bias: true, trainsW: true, trainsBias: true };
  expect(checkDerivative(of({ S: 6, C: 3, V: 5 }, all))).toBeLessThan(1e-6);
  expect(() => checkDerivative(of({ S: 6, C: 3, V: 5 }, all), [0, 1])).toThrow("only `loss`");
});

test("linear_cross_entropy: derivative by the row with a projection and a bias that learn", () => {
  const all = { bias: true, trainsW: true, trainsBias: true, gradient: false, later: true };
  expect(checkDerivative(of({ S: 6, C: 3, V: 5 }, all), [0, 1])).toBeLessThan(1e-6);
  expect(
    checkDerivative(
      of({ S: 6, C: 3, V: 5 }, { ...all, bias: false, trainsBias: false, cap: 1.5 }),
      [1],
    ),
  )
    .toBeLessThan(1e-6);
});

const cases: [Sizes, Partial<CrossEntropyAttrs>, number?][] = [
  [{ S: 1, C: 1, V: 1 }, {}],
  [{ S: 5, C: 7, V: 3 }, { bias: true }],
  [{ S: 64, C: 64, V: 300 }, { gradient: false }],
  [{ S: 65, C: 64, V: 300 }, { bias: true, trainsW: true, trainsBias: true }],
  [{ S: 130, C: 33, V: 67 }, { trainsW: true }],
  [{ S: 70, C: 64, V: 129, dtype: "f16" }, { bias: true }],
  [{ S: 70, C: 36, V: 129, stored: "f16" }, { bias: true, trainsW: true }],
  [{ S: 70, C: 64, V: 300, dtype: "bf16" }, {}],
  [{ S: 9, C: 8, V: 50, scale: 60 }, {}], // logits of thousands
  [{ S: 70, C: 64, V: 300 }, { cap: 2, bias: true, trainsW: true, trainsBias: true }],
  [{ S: 65, C: 33, V: 67, dtype: "f16" }, { cap: 30 }],
  [{ S: 9, C: 8, V: 50, scale: 4 }, { cap: 30 }], // beyond the cap
  [{ S: 65, C: 33, V: 300 }, { smoothing: 0.1, bias: true }],
  [{ S: 70, C: 64, V: 129, dtype: "f16" }, { smoothing: 0.9, trainsW: true }],
  [{ S: 65, C: 33, V: 300 }, { smoothing: 0.1, cap: 3 }],
  // The projection in bindings of so many bytes.
  [{ S: 70, C: 64, V: 300, dtype: "f16" }, { bias: true }, 20_000],
  [{ S: 5, C: 12, V: 515, dtype: "bf16" }, {}, 5_000],
];
for (const [sizes, change, bytes] of cases) {
  test(`linear_cross_entropy: ${JSON.stringify(sizes)} ${JSON.stringify(change)} ${bytes ?? ""}`, async () => {
    const { S, C, V, scale = 1 } = sizes;
    // A logit is a sum of C products of at most scale²; its error moves every probability as much.
    const logit = (2 * Math.sqrt(C) + 8) * 2 ** -24 * C * scale * scale + 2e-6;
    const rows = [
      logit * 2 + 1e-6,
      logit * 2 + 2e-6,
      0,
      logit,
      0,
      V * logit * scale,
      S * logit * scale,
      S * logit,
    ];
    // The variants of the products have their own tests.
    const c = of(sizes, change);
    const op = bytes ? narrow(c.op, bytes) : c.op;
    await checkKernel({ ...c, op: asHere(op) }, {
      bound: (o, _i, want) => rows[o]! * (o < 2 ? (o === 0 ? S : 1) : 1) + 2e-6 * Math.abs(want),
      skip: [4],
    });
  });
}
