import { describe, expect, test } from "bun:test";
import { divergence } from "./distributions.ts";

describe("divergence", () => {
  test("of a prediction from itself is nothing, whatever is added to all logits", () => {
    const p = Float32Array.of(1, 2, 3), q = Float32Array.of(101, 102, 103);
    expect(divergence(p, p)).toEqual({ kl: 0, sameTop: true, top: 0 });
    expect(divergence(p, q).kl).toBeLessThan(1e-12);
  });

  test("is the textbook sum", () => {
    // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): 1/2 ln 2 - 1/4 ln 2
    const p = Float32Array.from([0.5, 0.25, 0.25], Math.log);
    const q = Float32Array.from([0.25, 0.25, 0.5], Math.log);
    const { kl, sameTop, top } = divergence(p, q);
    expect(kl).toBeCloseTo(0.25 * Math.LN2, 6);
    expect(sameTop).toBe(false);
    expect(top).toBeCloseTo(Math.LN2, 6);
  });

  test("survives logits that no exponential can hold", () => {
    const { kl } = divergence(Float32Array.of(2000, 1990), Float32Array.of(-2000, -2010));
    expect(kl).toBeLessThan(1e-6);
  });
});
