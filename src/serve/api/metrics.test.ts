import { expect, test } from "bun:test";
import { Counter, gauge, Histogram } from "./metrics.ts";

test("counters by label, with what a label must not hold escaped", () => {
  const counter = new Counter("whet_x_total", "X");
  expect(counter.text()).toEndWith("whet_x_total 0\n");
  counter.add(2, { model: 'a"b\\c\nd' });
  counter.add(3, { model: 'a"b\\c\nd' });
  expect(counter.text()).toBe(
    '# HELP whet_x_total X\n# TYPE whet_x_total counter\nwhet_x_total{model="a\\"b\\\\c\\nd"} 5\n',
  );
});

test("a histogram counts what is below each bound", () => {
  const histogram = new Histogram("whet_s", "S");
  for (const seconds of [0.01, 0.2, 500]) histogram.observe(seconds);
  const lines = histogram.text().split("\n");
  expect(lines).toContain('whet_s_bucket{le="0.01"} 1');
  expect(lines).toContain('whet_s_bucket{le="0.25"} 2');
  expect(lines).toContain('whet_s_bucket{le="120"} 2');
  expect(lines).toContain('whet_s_bucket{le="+Inf"} 3');
  expect(lines).toContain("whet_s_count 3");
  expect(histogram.mean).toBeCloseTo(500.21 / 3, 6);
});

test("gauges", () => {
  expect(gauge("whet_g", "G", [[{ model: "a" }, 1], [{ model: "b" }, 2]])).toEndWith(
    'whet_g{model="a"} 1\nwhet_g{model="b"} 2\n',
  );
});
