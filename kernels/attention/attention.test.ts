import { expect, test } from "bun:test";
import { checkDerivative, checkKernel, noise, type Operand } from "../check.ts";
import { attentionBackward, attentionOp } from "./attention.ts";

interface Size {
  H: number;
  KV: number;
  D: number;
  /** Lengths of causal segments packed one after another; a negative one is padding that sees nothing. */
  segments: number[];
  scale?: number;
}

function packed(segments: number[]) {
  const spans: number[] = [], reach: number[] = [];
  for (const length of segments) {
    const start = spans.length / 2, end = start + Math.abs(length);
    for (let t = start; t < end; t++) {
      spans.push(...(length < 0 ? [0, 0] : [start, t + 1]));
      reach.push(...(length < 0 ? [0, 0] : [t, end]));
    }
  }
  return { T: spans.length / 2, spans, reach };
}

function of({ H, KV, D, segments, scale = 1 / Math.sqrt(D) }: Size) {
  const { T, spans, reach } = packed(segments);
  return {
    op: attentionOp,
    attrs: { heads: H, kvHeads: KV, scale },
    inputs: [
      { shape: [T, H * D], scale: 2 },
      { shape: [T, KV * D], scale: 2 },
      { shape: [T, KV * D] },
      { shape: [T, 2], dtype: "u32" as const, data: spans },
      { shape: [T, 2], dtype: "u32" as const, data: reach },
    ],
  };
}

test("attention: derivative", () => {
  checkDerivative(of({ H: 2, KV: 1, D: 3, segments: [4, -1, 3] }));
  checkDerivative(of({ H: 2, KV: 2, D: 4, segments: [1, 5], scale: 0.7 }));
});

// Scores are sums of D products of about 1, then exp, then a convex combination of values below 1:
// the error of a weight is that of its score, 8·2^-24·Σ|q·k|·scale, and of exp.
const bound = (_o: number, _i: number, want: number) => 6e-6 + 2e-6 * Math.abs(want);

const shapes: Size[] = [
  { H: 1, KV: 1, D: 64, segments: [65] },
  { H: 4, KV: 2, D: 16, segments: [70, 3, 1, 40, -9, 33] },
  { H: 2, KV: 1, D: 80, segments: [31, -2] },
  { H: 3, KV: 1, D: 5, segments: [7, 63] },
  { H: 1, KV: 1, D: 37, segments: [17] },
  { H: 2, KV: 2, D: 128, segments: [20, 20] },
  { H: 1, KV: 1, D: 256, segments: [33] },
  { H: 1, KV: 1, D: 1, segments: [130] },
];
for (const size of shapes) {
  test(`attention: ${JSON.stringify(size)}`, async () => {
    await checkKernel(of(size), { bound });
  });
}

/** The operands of the backward op, with o and lse as the forward reference gives them. */
function backwardOf(size: Size) {
  const { attrs, inputs } = of(size), next = noise(5);
  const drawn = inputs.map(({ shape, ...rest }) => {
    const { data, scale = 1 } = rest as Operand;
    return Float64Array.from(
      data ?? Array.from({ length: shape[0]! * shape[1]! }, () => Math.fround(next() * scale)),
    );
  });
  const node = { op: attentionOp, attrs, inputs, outputs: [] } as never;
  const [o, lse] = attentionOp.reference(drawn, attrs, node);
  const T = inputs[0]!.shape[0]!;
  const given = inputs.map((operand, i) => ({ ...operand, data: drawn[i]! }));
  return {
    op: attentionBackward,
    attrs,
    inputs: [
      { shape: inputs[0]!.shape },
      ...given.slice(0, 3),
      { shape: inputs[0]!.shape, data: o! },
      { shape: [T, size.H], data: lse! },
      ...given.slice(3),
    ],
  };
}
for (const size of shapes) {
  test(`attention_backward: ${JSON.stringify(size)}`, async () => {
    const longest = Math.max(...size.segments) * size.H / size.KV;
    await checkKernel(backwardOf(size), {
      bound: (_o, _i, want) => 4e-6 * Math.sqrt(longest) + 4e-6 * Math.abs(want),
    });
  });
}

/** Few rows over a cache: row t at position p[t] of the sequence that starts at base[t]. */
for (
  const { H, KV, D, S, rows } of [
    { H: 4, KV: 2, D: 64, S: 300, rows: [[0, 300]] },
    { H: 2, KV: 1, D: 80, S: 700, rows: [[0, 257], [300, 301], [5, 5], [310, 699]] },
    { H: 1, KV: 1, D: 7, S: 70, rows: [[0, 64], [1, 66]] },
    { H: 1, KV: 1, D: 255, S: 20, rows: [[0, 20]] },
    { H: 2, KV: 2, D: 256, S: 33, rows: [[3, 20]] },
  ]
) {
  test(`attention over a cache: ${JSON.stringify({ H, KV, D, S, rows })}`, async () => {
    const T = rows.length;
    await checkKernel({
      op: attentionOp,
      attrs: { heads: H, kvHeads: KV, scale: 1 / Math.sqrt(D) },
      inputs: [
        { shape: [T, H * D], scale: 2 },
        { shape: [S, KV * D], scale: 2 },
        { shape: [S, KV * D] },
        { shape: [T, 2], dtype: "u32", data: rows.flat() },
      ],
    }, { bound });
  });
}

/** Scores up to 10,000 that are exact in f32, so that only the softmax can go wrong. */
for (const T of [3, 40]) {
  test(`attention: large scores, ${T} rows`, async () => {
    const c = of({ H: 1, KV: 1, D: 4, segments: [T], scale: 0.5 });
    const step = (n: number, by: number) =>
      Array.from({ length: n }, (_, i) => (((i * 7) % 11) - 5) * by);
    const [q, k, ...rest] = c.inputs;
    await checkKernel({
      ...c,
      inputs: [
        { ...q!, data: step(4 * T, 16) },
        { ...k!, data: step(4 * T, 32) },
        ...rest,
      ],
    }, { bound: (_o, _i, want) => 2e-6 * Math.max(1, Math.abs(want)) });
  });
}

test("attention: what no row sees is not read", async () => {
  const rows = [[2, 5], [9, 12]], hidden = new Set([0, 1, 5, 6, 7, 8, 12]);
  for (const T of [2, 34]) {
    const next = noise(3);
    const spans = Array.from({ length: T }, (_, t) => rows[Math.floor(2 * t / T)]!).flat();
    const cache = Array.from({ length: 13 * 4 }, (_, i) => hidden.has(i >> 2) ? NaN : next());
    const result = await checkKernel({
      op: attentionOp,
      attrs: { heads: 1, kvHeads: 1, scale: 1 },
      inputs: [
        { shape: [T, 4] },
        { shape: [13, 4], data: cache },
        { shape: [13, 4], data: cache },
        { shape: [T, 2], dtype: "u32", data: spans },
      ],
    }, { bound });
    expect(Number.isNaN(result.worst)).toBe(false);
  }
});

test("attention: shapes that do not fit are refused", () => {
  const c = of({ H: 3, KV: 2, D: 4, segments: [5] });
  expect(() => checkDerivative(c)).toThrow("3 heads and 2 key heads");
});
