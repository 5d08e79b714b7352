import { expect, test } from "bun:test";
import { inspectionDue, moduleOf, Norms } from "./inspect.ts";

test("A and B of one module are one norm", () => {
  const norms = new Norms();
  const one = (name: string, g: number, b: number, a: number) =>
    norms.add({
      name,
      gradient: Float32Array.of(g),
      before: Float32Array.of(b),
      after: Float32Array.of(a),
    });
  one("model.layers.0.q_proj.lora_A.weight", 3, 1, 4);
  one("model.layers.0.q_proj.lora_B.weight", 4, 0, 4);
  one("model.embed_tokens.weight", 1, 1, 1);
  expect([...norms.modules]).toEqual([
    ["model.layers.0.q_proj", { gradient: 5, update: 5, weight: Math.sqrt(32) }],
    ["model.embed_tokens", { gradient: 1, update: 0, weight: 1 }],
  ]);
});

test("names of weights that are no adapter's stay what they are", () => {
  expect(moduleOf("model.norm.weight")).toBe("model.norm");
  expect(moduleOf("model.layers.0.fc1.bias")).toBe("model.layers.0.fc1.bias");
});

test("a run is looked at from its first to its last step, about 24 times", () => {
  const looks = (steps: number) =>
    Array.from({ length: steps }, (_, i) => i + 1).filter((s) => inspectionDue(s, steps));
  expect(looks(3)).toEqual([1, 2, 3]);
  const long = looks(1000);
  expect([long[0], long.at(-1)]).toEqual([1, 1000]);
  expect(long.length).toBeLessThanOrEqual(26);
  expect(long.length).toBeGreaterThanOrEqual(20);
});
