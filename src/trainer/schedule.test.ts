import { expect, test } from "bun:test";
import { type Schedule, type ScheduleDetails, scheduleOf, stepsOf } from "./schedule.ts";

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
/** The formulas of transformers.optimization, each phase as it is written there. */
function theirs(
  schedule: Schedule,
  step: number,
  [warm, total]: readonly [number, number],
  { minRatio: low = 0, decay = 0, fall }: ScheduleDetails,
): number {
  if (schedule === "wsd") {
    const stable = total - warm - decay;
    let factor: number;
    if (step < warm) factor = step / Math.max(1, warm);
    else if (step < warm + stable) return 1;
    else if (step < warm + stable + decay) {
      const progress = (step - warm - stable) / Math.max(1, decay);
      factor = fall === "linear"
        ? 1 - progress
        : fall === "1-sqrt"
        ? 1 - Math.sqrt(progress)
        : 0.5 * (1 + Math.cos(Math.PI * 0.5 * 2 * progress));
    } else return low;
    return Math.max(0, factor * (1 - low) + low);
  }
  if (step < warm) return step / Math.max(1, warm);
  if (schedule === "constant") return 1;
  if (schedule === "linear") return Math.max(0, (total - step) / Math.max(1, total - warm));
  const progress = (step - warm) / Math.max(1, total - warm);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * 0.5 * 2 * progress)) * (1 - low) + low);
}

test("schedule: the formulas of transformers at every step, to 1e-9", () => {
  const all: [Schedule, ScheduleDetails][] = [
    ["constant", {}],
    ["linear", {}],
    ["cosine", {}],
    ["cosine", { minRatio: 0.1 }],
    ...(["cosine", "linear", "1-sqrt"] as const).flatMap((fall) =>
      [0, 0.05].flatMap((minRatio) =>
        [1, 7, 30].map((decay) => ["wsd", { fall, minRatio, decay }] as [Schedule, ScheduleDetails])
      )
    ),
  ];
  let worst = 0, compared = 0;
  for (const [schedule, details] of all) {
    for (const [warm, total] of [[0, 40], [1, 57], [10, 100], [37, 1000]] as const) {
      const share = scheduleOf(schedule, warm === 1 ? 1 : warm, total, details);
      for (let step = 0; step < total; step++) {
        const want = theirs(schedule, step, [stepsOf(warm, total), total], details);
        worst = Math.max(worst, Math.abs(share(step) - want));
        compared++;
      }
    }
  }
  expect(compared).toBe(22 * (40 + 57 + 100 + 1000));
  expect(worst).toBeLessThan(1e-9);
});

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
