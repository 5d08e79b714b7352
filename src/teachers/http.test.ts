import { expect, test } from "bun:test";
import { Fail } from "../base/fail.ts";
import { addressOf, redact, secretsOf, waitOf } from "./http.ts";
import { priceOf } from "./prices.ts";

test("how long a server asks to wait", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  const wait = (headers: Record<string, string>) => waitOf(new Headers(headers), now);
  expect(wait({ "retry-after": "2" })).toBe(2000);
  expect(wait({ "retry-after": "0.5", "retry-after-ms": "20" })).toBe(20);
  expect(wait({ "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" })).toBe(7000);
  expect(wait({ "retry-after": "Wed, 31 Dec 2025 00:00:00 GMT" })).toBeUndefined();
  expect(wait({ "retry-after": "soon" })).toBeUndefined();
  expect(wait({})).toBeUndefined();
});

test("addresses: a path below, and nothing that shows a key", () => {
  const of = (base: string, key?: string) => addressOf(base, "chat/completions", "V", key).href;
  expect(of("https://a.org/v1/")).toBe("https://a.org/v1/chat/completions");
  expect(of("http://localhost:8080", "k")).toBe("http://localhost:8080/chat/completions");
  expect(of("http://[::1]:1/v1", "k")).toBe("http://[::1]:1/v1/chat/completions");
  expect(of("http://far.org/v1")).toBe("http://far.org/v1/chat/completions");
  for (const bad of ["far.org", "ftp://far.org", "https://u:p@far.org", "https://far.org/?k=1"]) {
    expect(() => of(bad)).toThrow(Fail);
  }
  expect(() => of("http://far.org", "k")).toThrow(Fail);
  expect(() => of("http://localhost.far.org", "k")).toThrow(Fail);
  expect(() => of("http://127.0.0.1.far.org", "k")).toThrow(Fail);
});

test("keys are taken out of texts, words that stand for none are not", () => {
  expect(redact("a sk-0123456789 b sk-0123456789", secretsOf("sk-0123456789"))).toBe(
    "a [key] b [key]",
  );
  expect(secretsOf("none")).toEqual([]);
  expect(secretsOf(undefined)).toEqual([]);
});

test("prices go by the longest name that fits", () => {
  expect(priceOf("gpt-5-mini-2025")).toEqual({ input: 0.25, output: 2 });
  expect(priceOf("gpt-5")).toEqual({ input: 1.25, output: 10 });
  expect(priceOf("claude-opus-4-5-20251101")).toEqual({ input: 5, output: 25 });
  expect(priceOf("llama")).toBeUndefined();
});
