import { expect, test } from "bun:test";
import { brierScore, confidenceOf, expectedCalibrationError, reliability } from "./calibration.ts";

const said = (confidence: number, right: number, of: number) =>
  Array.from({ length: of }, (_, i) => ({ confidence, right: i < right }));

test("calibration error is the gap between confidence and accuracy", () => {
  expect(expectedCalibrationError(said(0.75, 75, 100))).toBeCloseTo(0, 12);
  expect(expectedCalibrationError(said(1, 0, 10))).toBe(1);
  expect(expectedCalibrationError([...said(0.9, 9, 10), ...said(0.2, 8, 10)])).toBeCloseTo(0.3, 12);
  expect(expectedCalibrationError([])).toBeNaN();
});

test("bins: 0.61 and 0.66 share one of ten, not one of fifteen", () => {
  const answers = [...said(0.61, 2, 2), ...said(0.68, 0, 2)];
  expect(expectedCalibrationError(answers, 10)).toBeCloseTo(Math.abs(0.5 - 0.645), 12);
  expect(expectedCalibrationError(answers, 15)).toBeCloseTo((0.39 + 0.68) / 2, 12);
  const bins = reliability(answers, 15);
  expect(bins).toHaveLength(15);
  expect(bins[9]).toMatchObject({ n: 2, accuracy: 1 });
  expect(bins[10]).toMatchObject({ n: 2, accuracy: 0 });
  expect(reliability(said(1, 1, 1))[9]!.n).toBe(1);
});

test("Brier's score of forecasts by hand", () => {
  expect(brierScore([{ confidence: 0.9, right: true }, { confidence: 0.6, right: false }]))
    .toBeCloseTo((0.01 + 0.36) / 2, 12);
  expect(brierScore(said(0.5, 3, 7))).toBeCloseTo(0.25, 12);
  expect(brierScore([])).toBeNaN();
});

test.each<[unknown, number | undefined]>([
  [{ confidence: 0.7 }, 0.7],
  [{ confidence: 0 }, 0],
  [{ confidence: 1.2 }, undefined],
  [{ confidence: "0.7" }, undefined],
  [{ confidence_scores: { motion: 0.9, role: 0.4 } }, 0.4],
  [{ confidence_scores: { motion: 0.9, role: "high" } }, undefined],
  [{ confidence_scores: {} }, undefined],
  [[1], undefined],
  [undefined, undefined],
])("the confidence of %p is %p", (answer, confidence) => {
  expect(confidenceOf(answer)).toBe(confidence);
});
