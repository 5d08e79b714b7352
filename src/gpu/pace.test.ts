import { expect, test } from "bun:test";
import { Pace, SUBMIT_LIMIT } from "./pace.ts";

/** Replays dispatches that take these milliseconds, and says how each submit was cut and how long it took. */
function replay(pace: Pace, cost: readonly number[]): { counts: number[]; ms: number[] } {
  const counts: number[] = [], ms: number[] = [];
  let at = 0;
  for (const { count, told } of pace.next()) {
    const took = cost.slice(at, at += count).reduce((sum, c) => sum + c, 0);
    counts.push(count);
    ms.push(took);
    told(took);
  }
  expect(at).toBe(cost.length);
  return { counts, ms };
}

test("where nothing watches, the same long submits for ever", () => {
  const pace = new Pace(2500, Infinity);
  expect(pace.measures).toBe(false);
  for (let i = 0; i < 3; i++) {
    expect(replay(pace, Array(2500).fill(1000)).counts).toEqual([1024, 1024, 452]);
  }
});

test("no submit is over the limit as long as no dispatch is over its own, from the first replay on", () => {
  const cost = Array.from({ length: 900 }, (_, i) => i % 7 === 0 ? 50 : i % 3 === 0 ? 5 : 0.02);
  const pace = new Pace(cost.length, SUBMIT_LIMIT);
  for (let i = 0; i < 20; i++) {
    expect(Math.max(...replay(pace, cost).ms)).toBeLessThanOrEqual(SUBMIT_LIMIT);
  }
});

test("short dispatches soon share few submits", () => {
  const cost = Array<number>(1500).fill(0.05); // 75 ms in all
  const pace = new Pace(cost.length, SUBMIT_LIMIT);
  expect(replay(pace, cost).counts.length).toBe(375);
  expect(replay(pace, cost).counts).toEqual([1024, 476]);
  expect(replay(pace, cost).counts).toEqual([1024, 476]);
});

test("a device that becomes slow gets shorter submits, and longer ones when it recovers", () => {
  const fast = Array<number>(256).fill(0.3), slow = Array<number>(256).fill(6);
  const pace = new Pace(256, SUBMIT_LIMIT);
  for (let i = 0; i < 5; i++) replay(pace, fast);
  const before = replay(pace, fast).counts;
  for (let i = 0; i < 8; i++) replay(pace, slow);
  expect(Math.max(...replay(pace, slow).ms)).toBeLessThanOrEqual(0.8 * SUBMIT_LIMIT);
  for (let i = 0; i < 8; i++) replay(pace, fast);
  expect(replay(pace, fast).counts).toEqual(before);
});

test("the same times cut the same", () => {
  const cost = Array.from({ length: 333 }, (_, i) => (i * 7919 % 97) / 3);
  const cuts = () => {
    const pace = new Pace(cost.length, SUBMIT_LIMIT);
    return Array.from({ length: 6 }, () => replay(pace, cost).counts);
  };
  expect(cuts()).toEqual(cuts());
});

test("a replay whose times are not all known yet changes nothing", () => {
  const pace = new Pace(40, SUBMIT_LIMIT);
  pace.next()[0]!.told(1);
  expect(pace.next().map(({ count }) => count)).toEqual(Array(10).fill(4));
});

test("one dispatch that takes too long stands alone", () => {
  const cost = Array<number>(16).fill(1);
  cost[5] = 900;
  const pace = new Pace(16, SUBMIT_LIMIT);
  for (let i = 0; i < 5; i++) replay(pace, cost);
  const { counts, ms } = replay(pace, cost);
  expect(counts[ms.indexOf(900)]).toBe(1);
});
