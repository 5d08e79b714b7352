import { expect, test } from "bun:test";
import { type Schedule, type ScheduleDetails, scheduleOf } from "./schedule.ts";

// Step and factor, from the formulas of transformers.get_*_schedule_with_warmup and get_wsd_schedule in
// Python, 100 steps in all.
const known: [Schedule, ScheduleDetails, [number, number][]][] = [
  ["constant", {}, [[0, 0], [1, 0.1], [9, 0.9], [10, 1], [37, 1], [99, 1]]],
  ["linear", {}, [
    [0, 0],
    [1, 0.1],
    [10, 1],
    [11, 0.9888888888888889],
    [37, 0.7],
    [55, 0.5],
    [99, 0.011111111111111112],
    [100, 0],
    [120, 0],
  ]],
  ["cosine", {}, [
    [0, 0],
    [9, 0.9],
    [10, 1],
    [11, 0.9996954135095479],
    [37, 0.7938926261462366],
    [55, 0.5],
    [99, 0.00030458649045211894],
    [100, 0],
  ]],
  ["cosine", { minRatio: 0.1 }, [
    [9, 0.9],
    [11, 0.9997258721585931],
    [37, 0.8145033635316129],
    [55, 0.55],
    [99, 0.10027412784140691],
    [100, 0.1],
  ]],
  ["wsd", { decay: 20 }, [
    [0, 0.0],
    [5, 0.5],
    [10, 1.0],
    [80, 1.0],
    [81, 0.9938441702975689],
    [90, 0.5],
    [99, 0.00615582970243117],
    [100, 0],
  ]],
  ["wsd", { decay: 0.2, minRatio: 0.1 }, [
    [0, 0.1],
    [5, 0.55],
    [10, 1.0],
    [80, 1.0],
    [81, 0.994459753267812],
    [90, 0.55],
    [99, 0.10554024673218806],
    [100, 0.1],
  ]],
];
for (const [schedule, details, values] of known) {
  test(`schedule: ${schedule} ${JSON.stringify(details)}`, () => {
    const share = scheduleOf(schedule, 10, 100, details);
    for (const [step, want] of values) expect(Math.abs(share(step) - want)).toBeLessThan(1e-9);
  });
}
test("schedule: a share of the steps is rounded up, a number of steps is taken as it is", () => {
  const second = (warmup: number, total: number) => 6 * scheduleOf("constant", warmup, total)(1);
  expect(second(0.1, 21)).toBe(2); // 3 steps
  expect(second(0.1, 20)).toBe(3); // 2 steps
  expect(second(6, 20)).toBe(1);
  expect(second(0, 20)).toBe(6);
  expect(second(1, 20)).toBe(6);
});
test("schedule: always a share of the peak, whatever the lengths", () => {
  for (const schedule of ["constant", "linear", "cosine", "wsd"] as const) {
    for (const warmup of [0, 0.5, 1, 3, 5, 9]) {
      for (const total of [1, 2, 5, 10]) {
        if (schedule === "wsd" && warmup > total) continue;
        const share = scheduleOf(schedule, warmup, total, { decay: 0 });
        for (let step = 0; step <= total; step++) {
          expect(share(step)).toBeGreaterThanOrEqual(0);
          expect(share(step)).toBeLessThanOrEqual(1);
        }
      }
    }
  }
});
test("schedule: phases that do not fit are refused", () => {
  expect(() => scheduleOf("wsd", 60, 100, { decay: 0.5 }))
    .toThrow("60 steps of warm-up and 50 of decay do not fit in 100 steps");
});
