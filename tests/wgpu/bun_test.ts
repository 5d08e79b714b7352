/**
 * The part of bun:test that the kernels' tests use, on Deno's own test runner, so that the same
 * tests run on the same WGSL with another WebGPU implementation (wgpu and Naga).
 */
import assert from "node:assert/strict";

interface DenoTest {
  name: string;
  fn: () => unknown;
  sanitizeOps: false;
  sanitizeResources: false;
}
declare const Deno: { test(options: DenoTest): void };

const groups: string[] = [];

/** Registers a test. */
export function test(name: string, body: () => unknown): void {
  const full = [...groups, name].join(" > ");
  Deno.test({
    name: full,
    fn: body,
    sanitizeOps: false,
    sanitizeResources: false,
  });
}
test.skipIf = (skip: boolean) => skip ? () => {} : test;

/** Registers the tests of `body` under a common name. */
export function describe(name: string, body: () => void): void {
  groups.push(name);
  try {
    body();
  } finally {
    groups.pop();
  }
}

function matchers(actual: unknown, negated: boolean) {
  const check = (holds: boolean, text: string) =>
    assert.ok(
      holds !== negated,
      `expected ${show(actual)} ${negated ? "not " : ""}${text}`,
    );
  const number = Number(actual);
  return {
    toBe: (wanted: unknown) => check(Object.is(actual, wanted), `to be ${show(wanted)}`),
    toEqual: (wanted: unknown) => check(equal(actual, wanted), `to equal ${show(wanted)}`),
    toBeLessThan: (limit: number) => check(number < limit, `< ${limit}`),
    toBeLessThanOrEqual: (limit: number) => check(number <= limit, `<= ${limit}`),
    toBeGreaterThan: (limit: number) => check(number > limit, `> ${limit}`),
    toBeGreaterThanOrEqual: (limit: number) => check(number >= limit, `>= ${limit}`),
    toBeCloseTo: (wanted: number, digits = 2) =>
      check(
        Math.abs(number - wanted) < 10 ** -digits / 2,
        `to be close to ${wanted}`,
      ),
    toBeDefined: () => check(actual !== undefined, "to be defined"),
    toBeUndefined: () => check(actual === undefined, "to be undefined"),
    toHaveLength: (length: number) =>
      check(
        (actual as unknown[]).length === length,
        `to have length ${length}`,
      ),
    toContain: (part: never) => check((actual as unknown[]).includes(part), `to contain ${part}`),
    toMatch: (pattern: RegExp) => check(pattern.test(String(actual)), `to match ${pattern}`),
    toThrow: (
      wanted: string | RegExp | (abstract new (...args: never[]) => Error) = "",
    ) => {
      const thrown = caught(actual as () => unknown);
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      const fits = typeof wanted === "string"
        ? message.includes(wanted)
        : wanted instanceof RegExp
        ? wanted.test(message)
        : wanted instanceof Error
        ? wanted.message === message
        : thrown instanceof wanted;
      check(
        thrown !== undefined && fits,
        `to throw ${show(wanted)} (${message})`,
      );
    },
  };
}

export function expect(actual: unknown) {
  return { ...matchers(actual, false), not: matchers(actual, true) };
}

function caught(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error ?? new Error("something empty was thrown");
  }
}

function equal(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}

function show(value: unknown): string {
  return typeof value === "function" ? "the call" : JSON.stringify(value) ?? String(value);
}
