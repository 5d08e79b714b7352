import { describe, expect, test } from "bun:test";
import { answerMetrics, canonicalJson, percentile, perplexity, sameAnswer } from "./metrics.ts";

const command = (over: Record<string, unknown> = {}) => ({
  type: "command",
  command: "bed",
  subcommand: "sow",
  args: { crop: "kale", rows: 2 },
  flags: ["cover", "deep"],
  confidence: 0.9,
  ...over,
});
const pair = (predicted: unknown, expected: unknown, latencyMs?: number) => ({
  predicted: typeof predicted === "string" ? predicted : JSON.stringify(predicted),
  expected: typeof expected === "string" ? expected : JSON.stringify(expected),
  ...(latencyMs === undefined ? {} : { latencyMs }),
});

describe("sameAnswer", () => {
  test.each([
    ['{"a":1,"b":[1,2]}', '{ "b": [1, 2], "a": 1.0 }', true],
    ['{"a":"1"}', '{"a":1}', false],
    ['{"b":[2,1]}', '{"b":[1,2]}', false],
    ['{"a":1', '{"a":1}', false],
    ['{"a":1} and more', '{"a":1}', false],
    [" plain text\n", "plain text", true],
    ["Plain text", "plain text", false],
    ["", "", true],
    ["null", '{"a":1}', false],
  ])("%p and %p: %p", (predicted, expected, same) => {
    expect(sameAnswer(predicted, expected)).toBe(same);
  });
});

test("canonicalJson sorts keys at every depth and escapes them", () => {
  expect(canonicalJson({ b: { d: 1, c: [{ z: null, y: 'q"' }] }, "a\n": true }))
    .toBe('{"a\\n":true,"b":{"c":[{"y":"q\\"","z":null}],"d":1}}');
});

describe("answerMetrics", () => {
  test("counts each part over the rows that have it", () => {
    const question = {
      type: "clarification",
      message: "Which bed?",
      suggestions: [],
      confidence: 0.6,
    };
    const metrics = answerMetrics([
      pair(command(), command()),
      pair(command({ flags: ["deep", "cover"] }), command()),
      pair(command({ args: { crop: "kale" }, subcommand: "soak" }), command()),
      pair('{"type":"command",', command()),
      pair(question, command()),
      pair(question, question),
    ]);
    expect(metrics.n).toBe(6);
    expect(metrics.exact_match).toBeCloseTo(2 / 6);
    expect(metrics.json_valid).toBeCloseTo(5 / 6);
    expect(metrics.command.type).toEqual({ right: 3, of: 5, rate: 0.6 });
    expect(metrics.command.command.right).toBe(3);
    expect(metrics.command.subcommand.right).toBe(2);
    expect(metrics.command.args.right).toBe(2);
    expect(metrics.command.flags.right).toBe(3);
    expect(metrics.fields.type).toEqual({ right: 4, of: 6, rate: 4 / 6 });
    expect(metrics.fields.message).toEqual({ right: 1, of: 1, rate: 1 });
    expect(metrics.fields.flags).toEqual({ right: 2, of: 5, rate: 0.4 });
    expect(metrics.schema_valid).toBeUndefined();
    expect(metrics.latency_ms).toBeUndefined();
  });

  test("raw match sees key order, exact match does not", () => {
    const metrics = answerMetrics([pair('{"b":1,"a":2}', '{"a":2,"b":1}')]);
    expect([metrics.exact_match, metrics.raw_match]).toEqual([1, 0]);
  });

  test("asks the schema about every answer that is JSON", () => {
    const problems = (answer: unknown) => answer === 1 ? [] : ["not one"];
    const metrics = answerMetrics([pair("1", "1"), pair("2", "1"), pair("{", "1")], problems);
    expect(metrics.schema_valid).toBeCloseTo(1 / 3);
  });

  test("no rows give zeros, not NaN", () => {
    expect(answerMetrics([])).toMatchObject({ n: 0, exact_match: 0, json_valid: 0, fields: {} });
  });

  test("a field that only the prediction has counts for nothing", () => {
    const { fields } = answerMetrics([pair({ a: 1, extra: 2 }, { a: 1 })]);
    expect(Object.keys(fields)).toEqual(["a"]);
  });

  test("names of Object's own are ordinary fields", () => {
    const { fields } = answerMetrics([pair("{}", '{"constructor":1,"toString":2}')]);
    expect<unknown>(fields.constructor).toEqual({ right: 0, of: 1, rate: 0 });
  });

  test("measures the time of the rows that have one", () => {
    const rows = [10, 20, 30, 40].map((ms) => pair("1", "1", ms));
    expect(answerMetrics([...rows, pair("1", "1")]).latency_ms)
      .toEqual({
        p50: 25,
        p95: expect.closeTo(38.5),
        p99: expect.closeTo(39.7),
        mean: 25,
        max: 40,
      });
  });
});

test("percentile interpolates and does not depend on order", () => {
  expect(percentile([3, 1, 2], 0.5)).toBe(2);
  expect(percentile([1, 2], 0.25)).toBe(1.25);
  expect(percentile([7], 0.95)).toBe(7);
  expect(percentile([], 0.5)).toBeNaN();
});

test("perplexity weighs tokens, not batches", () => {
  const uniform = [{ nll: 3 * Math.log(8), tokens: 3 }, { nll: 97 * Math.log(8), tokens: 97 }];
  expect(perplexity(uniform)).toBeCloseTo(8, 10);
  const mixed = perplexity([{ nll: Math.log(2), tokens: 1 }, { nll: 3 * Math.log(32), tokens: 3 }]);
  expect(mixed).toBeCloseTo(16, 10);
  expect(perplexity([])).toBeNaN();
});
