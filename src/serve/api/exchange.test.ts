import { expect, test } from "bun:test";
import type { Generation } from "../../generate/generator.ts";
import { Exchange } from "./exchange.ts";

function generation(): Generation & { cancelled: number } {
  return {
    cancelled: 0,
    cancel() {
      this.cancelled++;
    },
  } as Generation & { cancelled: number };
}

test("a request that takes too long is ended and says so", async () => {
  const exchange = new Exchange(new AbortController().signal, 0.02), made = generation();
  exchange.add(made);
  exchange.check();
  await Bun.sleep(60);
  expect([exchange.ended, made.cancelled]).toEqual(["timeout", 1]);
  expect(() => exchange.check()).toThrow("longer than this server allows");
});

test("a client that leaves cancels what is submitted, before and after", () => {
  const leave = new AbortController(), exchange = new Exchange(leave.signal, 60);
  const [before, after] = [generation(), generation()];
  exchange.add(before);
  leave.abort();
  exchange.add(after);
  expect([exchange.ended, before.cancelled, after.cancelled]).toEqual(["left", 1, 1]);
  exchange.end("stopping"); // the first reason stays
  expect(exchange.ended).toBe("left");
  exchange.finish();
});

test("what is finished is not ended any more", async () => {
  const leave = new AbortController(), exchange = new Exchange(leave.signal, 0.01);
  exchange.finish();
  await exchange.whole;
  leave.abort();
  await Bun.sleep(30);
  expect(exchange.ended).toBeUndefined();
});
