import { describe, expect, test } from "bun:test";
import {
  changes,
  type Compared,
  type ComparedRow,
  comparisonHtml,
  labelOf,
  rowsOf,
  verdicts,
  winner,
} from "./comparison.ts";
import { type Manifest, recordOf, type RunEvent } from "./record.ts";

const manifest: Manifest = {
  format: 1,
  kind: "sft",
  name: "one",
  status: "finished",
  started: "2026-01-02T03:04:05.678Z",
  seconds: 100,
  whet: { version: "0.1.0", commit: "abc" },
  device: {},
  settings: {},
  model: { path: "m" },
  data: { path: "d", rows: 10 },
  steps: 40,
};

/** A run that ends at `loss`, measured twice, the first time 10 % above. */
function run(
  choice: Record<string, string>,
  loss: number | undefined,
  more: Partial<Manifest> = {},
): Compared {
  const events: RunEvent[] = Array.from({ length: 40 }, (_, i) => ({
    event: "step",
    step: i + 1,
    epoch: i / 40,
    loss: (loss ?? 1) + 1 / (i + 1),
    lr: 1e-3,
    grad_norm: 1,
    tok_s: 100,
    mem_bytes: 1000 + i,
    ms: 10,
  }));
  if (loss !== undefined) {
    for (const [step, l] of [[20, loss * 1.1], [40, loss]] as const) {
      events.push({ event: "eval", step, epoch: step / 40, val_loss: l, ppl: Math.exp(l) });
    }
  }
  return { choice, path: labelOf(choice), record: recordOf({ ...manifest, ...more }, events) };
}

const grid = [
  run({ lr: "1e-4", rank: "8" }, 1.0),
  run({ lr: "1e-4", rank: "16" }, 0.999, { seconds: 200 }),
  run({ lr: "2e-4", rank: "8" }, 0.8),
  run({ lr: "2e-4", rank: "16" }, 0.798, { seconds: 200 }),
  run({ lr: "3e-4", rank: "8" }, 1.2),
  run({ lr: "3e-4", rank: "16" }, 0.1, { status: "failed" }),
];

describe("runs side by side", () => {
  const rows = rowsOf(grid);

  test("a row has what the run ended with and what it cost", () => {
    expect(rows[1]).toMatchObject({
      run: 2,
      val_loss: 0.999,
      best_val_loss: 0.999,
      seconds: 200,
      mem_bytes: 1039,
      status: "finished",
    });
    expect(rows[1]!.best_ppl).toBeCloseTo(Math.exp(0.999), 12);
  });

  test("the best is the lowest of those that came to their end", () => {
    expect(winner(rows)!.run).toBe(4);
    expect(winner(rowsOf([grid[5]!]))).toBeUndefined();
  });

  test("a change is the mean over the pairs that differ in it alone", () => {
    const found = changes(rows);
    const lr = found.find((c) => c.key === "lr" && c.to === "2e-4")!;
    expect(lr.pairs).toBe(2);
    expect(lr.better).toBeCloseTo((0.2 + (1 - 0.798 / 0.999)) / 2, 12);
    expect(found.find((c) => c.key === "lr" && c.to === "3e-4")!.pairs).toBe(1); // one failed
    expect(found.find((c) => c.key === "rank")!.cost).toBe(2);
  });

  test("values are taken in ascending order however they were typed", () => {
    const reversed = rowsOf([run({ rank: "16" }, 1), run({ rank: "8" }, 2)]);
    expect(changes(reversed)).toMatchObject([{ key: "rank", from: "8", to: "16", better: 0.5 }]);
  });

  test("verdicts say where more is not worth it", () => {
    const said = verdicts(rows, 0.01).join("\n");
    expect(said).toContain("lr 1e-4 to 2e-4: the loss falls by");
    expect(said).toContain("lr 2e-4 to 3e-4: the loss rises by 50 %");
    expect(said).toMatch(
      /rank 8 to 16: the loss changes by only .* in 2 times the time: not worth/,
    );
  });

  test("runs that were not measured are compared by their training loss", () => {
    const blind = rowsOf([run({ rank: "8" }, undefined)]);
    expect(blind[0]!.best_val_loss).toBeUndefined();
    expect(winner(blind)!.train_loss).toBeGreaterThan(1);
  });
});

test("the page shows every run, the best apart, and is safe with any text", () => {
  const html = comparisonHtml(
    "<sweep>",
    "why & how",
    [...grid, run({ lr: "<x>", rank: "1" }, 2)],
    0.01,
  );
  expect(html).not.toContain("<sweep>");
  expect(html).not.toContain("<x>");
  expect(html).toContain("Best: lr=2e-4 rank=16");
  expect(html.match(/path class="other/g)!.length).toBe(12);
  expect(html.match(/path class="marks/g)!.length).toBe(2);
  expect(html).toContain("What each setting brings");
  const empty: ComparedRow[] = [];
  expect(winner(empty)).toBeUndefined();
  expect(comparisonHtml("none", undefined, [], 0.01)).toContain("0 runs");
});
