import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { type Act, Batch, createBatch, listBatches, requireReviewed } from "./review.ts";

const root = mkdtempSync(join(tmpdir(), "whet-review-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let queues = 0;
const rowOf = (i: number) => JSON.stringify({ prompt: `question ${i}`, completion: `answer ${i}` });
async function made(rows: number, agent = "routing") {
  const queue = join(root, `q${queues++}`);
  const id = await createBatch(queue, {
    agent,
    source: "a test",
    rows: Array.from({ length: rows }, (_, i) => rowOf(i + 1)),
    now: new Date("2026-03-04T05:06:07.890Z"),
  });
  return { queue, id, batch: await Batch.open(queue, id), log: join(queue, id, "decisions.jsonl") };
}
async function failOf(work: () => unknown): Promise<Fail> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Fail) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("a batch", () => {
  test("has the id of the founding documents, and waits", async () => {
    const { queue, id } = await made(3);
    expect(id).toMatch(/^synthetic_routing_20260304_050607_[0-9a-f]{6}$/);
    const [facts] = listBatches(queue);
    expect(facts).toMatchObject({
      id,
      agent: "routing",
      created: "2026-03-04T05:06:07.890Z",
      items: 3,
      counts: { waiting: 3, approved: 0, edited: 0, rejected: 0 },
    });
    const gate = await failOf(() => requireReviewed(queue));
    expect(gate.exit).toBe(Exit.approval);
    expect(gate.message).toBe("3 rows wait for a person's review");
    expect(gate.why).toContain(`${id}: 3 of 3`);
    expect(gate.fix).toBe(`whet data review ${id} --queue ${queue}`);
  });

  test("decisions say who and when, and only approved rows come out, edited ones as edited", async () => {
    const { queue, id, batch, log } = await made(4);
    const at = new Date("2026-03-05T00:00:00.000Z");
    const edited = '{"prompt":"question 2","completion":"better"}';
    await batch.decide("ada", [{ item: 1, what: "approve" }], at);
    await batch.decide("ada", [{ item: 2, what: "edit", text: edited }]);
    await batch.decide("grace", [{ item: 3, what: "reject", reason: "wrong answer" }]);
    expect(() => requireReviewed(queue, id)).toThrow("1 row waits for a person's review");
    await batch.decide("grace", [{ item: 4, what: "approve" }]);
    requireReviewed(queue, id);
    expect(batch.approved()).toEqual([rowOf(1), edited, rowOf(4)]);
    expect(batch.counts).toEqual({ waiting: 0, approved: 3, edited: 1, rejected: 1 });
    expect(batch.item(1).decision).toEqual({
      what: "approve",
      by: "ada",
      at: "2026-03-05T00:00:00.000Z",
      seq: 1,
    });
    expect(batch.item(2)).toMatchObject({ text: rowOf(2), now: edited });
    expect(JSON.parse(readFileSync(log, "utf8").split("\n")[2]!)).toMatchObject({
      by: "grace",
      decisions: [{ item: 3, what: "reject", reason: "wrong answer" }],
    });
  });

  test("an item is decided once, and an undo takes back only what it means", async () => {
    const { queue, id, batch } = await made(2);
    const other = await Batch.open(queue, id);
    await batch.decide("ada", [{ item: 1, what: "approve" }]);
    const [late] = await other.decide("grace", [{ item: 1, what: "reject", reason: "no" }]);
    expect(late).toMatchObject({
      taken: false,
      item: { decision: { what: "approve", by: "ada" } },
    });
    await other.decide("grace", [{ item: 1, what: "undo" }]);
    await other.decide("grace", [{ item: 1, what: "reject", reason: "no" }]);
    // ada means her own decision, which is gone
    const [stale] = await batch.decide("ada", [{ item: 1, what: "undo", of: 1 }]);
    expect(stale).toMatchObject({ taken: false, item: { decision: { by: "grace" } } });
    const [waits] = await batch.decide("ada", [{ item: 2, what: "undo" }]);
    expect(waits!.taken).toBe(false);
    expect(other.refresh()).toEqual([]);
  });

  test("many acts are one line; the second of two about one item is not taken", async () => {
    const { batch, log } = await made(3);
    const outcomes = await batch.decide("ada", [
      { item: 1, what: "approve" },
      { item: 2, what: "approve" },
      { item: 1, what: "reject", reason: "no" },
    ]);
    expect(outcomes.map(({ taken }) => taken)).toEqual([true, true, false]);
    expect(readFileSync(log, "utf8").split("\n").length).toBe(2);
  });

  test("acts that mean nothing are refused, and nothing is written", async () => {
    const { batch } = await made(2);
    const bad: readonly (readonly [Act, string])[] = [
      [{ item: 3, what: "approve" }, "has no item 3"],
      [{ item: 0, what: "approve" }, "has no item 0"],
      [{ item: 1, what: "reject", reason: " " }, "without a reason"],
      [{ item: 1, what: "edit", text: "[1]" }, "no row"],
      [{ item: 1, what: "edit", text: "{" }, "no row"],
      [{ item: 1, what: "edit", text: "{\n}" }, "no row"],
    ];
    for (const [act, told] of bad) {
      const fail = await failOf(() => batch.decide("ada", [{ item: 2, what: "approve" }, act]));
      expect(fail.message).toContain(told);
      expect(fail.exit).toBe(Exit.data);
    }
    expect(batch.counts.waiting).toBe(2);
  });

  test("the same rows twice are one batch; other rows or another agent are not", async () => {
    const { queue, id } = await made(2);
    const again = { agent: "routing", source: "again", rows: [rowOf(1), rowOf(2)] };
    expect(await createBatch(queue, again)).toBe(id);
    expect(await createBatch(queue, { ...again, agent: "x y" })).toMatch(/^synthetic_x_y_/);
    await createBatch(queue, { ...again, rows: [rowOf(2)] });
    expect(listBatches(queue).length).toBe(3);
  });

  test("an unknown batch names those there are", async () => {
    const { queue, id } = await made(1);
    const fail = await failOf(() => Batch.open(queue, id.slice(0, -1)));
    expect(fail.why).toContain(id);
    expect(fail.fix).toContain(`whet data review ${id}`);
    expect((await failOf(() => Batch.open(join(root, "none"), "x"))).why).toBe(
      "nothing waits there",
    );
    expect((await failOf(() => requireReviewed(queue, "other"))).exit).toBe(Exit.usage);
  });

  test("rows that were changed after they came are found", async () => {
    const { queue, id } = await made(2);
    const file = join(queue, id, "items.jsonl");
    writeFileSync(file, readFileSync(file, "utf8").replace("answer 1", "answer 9"));
    expect((await failOf(() => Batch.open(queue, id))).message).toContain("changed content");
  });

  test("rows that are no objects are refused by number", async () => {
    const batch = { agent: "a", source: "f.jsonl", rows: ["{}", "[]"] };
    const fail = await failOf(() => createBatch(join(root, "refused"), batch));
    expect(fail.message).toBe("row 2 of f.jsonl is no row");
  });
});

describe("the log", () => {
  test("a torn last line was never acknowledged: it is passed over, then cut off", async () => {
    const { queue, id, batch, log } = await made(2);
    await batch.decide("ada", [{ item: 1, what: "approve" }]);
    appendFileSync(log, '{"v":1,"by":"ada","at":"2026-');
    expect((await Batch.open(queue, id)).counts.waiting).toBe(1);
    await batch.decide("ada", [{ item: 2, what: "approve" }]);
    expect((await Batch.open(queue, id)).counts.waiting).toBe(0);
    expect(readFileSync(log, "utf8").trimEnd().split("\n").length).toBe(2);
  });

  test("a damaged line is named", async () => {
    const { queue, id, batch, log } = await made(2);
    await batch.decide("ada", [{ item: 1, what: "approve" }]);
    const good = readFileSync(log, "utf8");
    for (
      const bad of ["nonsense", '{"v":2}', good.trim(), good.trim().replace('"item":1', '"item":7')]
    ) {
      writeFileSync(log, `${good}${bad}\n`);
      const fail = await failOf(() => Batch.open(queue, id));
      expect(fail.message).toContain("is damaged in line 2");
    }
  });

  test("reviewers at once lose nothing, and each item has one decision", async () => {
    const { queue, id, log } = await made(40);
    const taken = await Promise.all(["ada", "grace", "mary"].map(async (by) => {
      const batch = await Batch.open(queue, id);
      let mine = 0;
      for (let item = 1; item <= 40; item++) {
        const [outcome] = await batch.decide(by, [{ item, what: "approve" }]);
        if (outcome!.taken) mine++;
        expect(outcome!.item.decision).toBeDefined();
      }
      return mine;
    }));
    expect(taken.reduce((a, b) => a + b)).toBe(40);
    expect(readFileSync(log, "utf8").trimEnd().split("\n").length).toBe(40);
    expect((await Batch.open(queue, id)).counts.waiting).toBe(0);
  });
});

/** Decides one item after the other and tells each, until it is killed. */
const victim = `
const { Batch } = await import(${JSON.stringify(join(import.meta.dir, "review.ts"))});
const [queue, id, by] = process.argv.slice(-3);
const batch = await Batch.open(queue, id);
for (let item = 1; item <= batch.facts.items; item++) {
  const [outcome] = await batch.decide(by, [{ item, what: "reject", reason: by }]);
  if (outcome.taken) process.stdout.write(item + "\\n");
}
`;

test("two reviewers killed at random moments: every decision that was told is there", async () => {
  const { queue, id } = await made(100_000);
  const program = join(root, "victim.ts");
  writeFileSync(program, victim);
  const told = new Map<number, string>();
  for (let round = 0; round < 2; round++) {
    await Promise.all(["ada", "grace"].map(async (by) => {
      const child = Bun.spawn([process.execPath, program, queue, id, by], { stdout: "pipe" });
      let text = "";
      const read = (async () => {
        for await (const part of child.stdout) text += new TextDecoder().decode(part);
      })();
      await Bun.sleep(900 + 400 * Math.random());
      child.kill(9);
      await child.exited;
      await read;
      for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n").slice(0, -1)) {
        expect(told.has(Number(line))).toBe(false);
        told.set(Number(line), by);
      }
    }));
    const batch = await Batch.open(queue, id);
    for (const [item, by] of told) expect(batch.item(item).decision?.by).toBe(by);
    // At most one decision of each process is there that it had no time to tell.
    expect(batch.counts.rejected - told.size).toBeLessThanOrEqual(2 * (round + 1));
  }
  expect(told.size).toBeGreaterThan(20);
});
