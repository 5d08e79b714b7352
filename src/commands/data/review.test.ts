import { afterAll, beforeEach, describe, expect, spyOn, test } from "bun:test";
import * as fs from "node:fs";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asset } from "../../base/assets.ts";
import { Fail } from "../../base/fail.ts";
import { Batch, createBatch } from "../../data/review.ts";
import { folded, seenRow, unfolded } from "../../data/review_row.ts";
import { run } from "../cli.ts";
import { type Io, openIo } from "../io.ts";
import { schemaCheck } from "./review_check.ts";
import { applyDecisions } from "./review_decisions.ts";
import { type Person, reviewInTerminal } from "./review_terminal.ts";

const root = mkdtempSync(join(tmpdir(), "whet-review-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const schema = { kind: "yaml", text: new TextDecoder().decode(asset("schemas/gh.yaml")) } as const;
const check = schemaCheck(schema);
const seen = (text: string) => seenRow(text, check);
const rowOf = (subcommand: string, i = 0) =>
  JSON.stringify({
    instruction: `show the runs ${i}`,
    context: null,
    output: `{"type":"command","command":"run","subcommand":"${subcommand}","args":{},"flags":[],` +
      `"confidence":0.9}`,
  });
const [good, other, faulty] = [rowOf("list"), rowOf("list", 1), rowOf("lists", 2)];

let batch: Batch, id: string, queue: string, said: string[], n = 0;
const io: Io = Object.assign(openIo({ stop: { requested: undefined, watched: false } }), {
  say: (text: string) => void said.push(Bun.stripANSI(text)),
});
beforeEach(async () => {
  said = [];
  queue = join(root, `q${n++}`);
  const rows = [good, other, faulty];
  id = await createBatch(queue, { agent: "gh", source: "a test", rows, schema });
  batch = await Batch.open(queue, id);
});
const standing = () => batch.items().map(({ decision }) => decision?.what);

/** Presses the keys in turn; an edit or a line takes what is in the next place. */
function person(...does: (string | ((text: string) => string))[]): Person {
  const next = () => does.shift() ?? "q";
  return {
    key: () => Promise.resolve(String(next())),
    line: () => Promise.resolve(String(next())),
    edit: (text) => {
      const how = next();
      return Promise.resolve(typeof how === "function" ? how(text) : undefined);
    },
  };
}

describe("the rules of a batch's schema", () => {
  test("are those under which rows are generated", () => {
    expect(seen(good)).toEqual({
      parts: [{ role: "user", text: "show the runs 0" }, {
        role: "assistant",
        text: JSON.parse(good).output,
      }],
      problems: [],
    });
    expect(seen(faulty).problems).toEqual(['run has no subcommand "lists"']);
    expect(seen('{"prompt":"q","completion":"not JSON"}').problems).toEqual([
      "the answer is not valid JSON",
    ]);
    expect(seen('{"prompt":"q","completion":""}').problems[0]).toContain("completion is empty");
    expect(seen('{"a":1,"a":2}').problems[0]).toContain("duplicate key");
    const unsure = good.replace("0.9", "0.2");
    expect(seen(unsure).problems[0]).toContain("clarification is due");
  });

  test("a row is laid out for an editor and folded again to the same text", () => {
    for (const row of [good, '{"messages":[{"role":"user","content":"a\\nb"}],"n":[1,2]}']) {
      expect(folded(unfolded(row), row)).toBe(row);
    }
    expect(unfolded(good)).toContain('"subcommand": "list"');
    expect(() => folded("[1]", good)).toThrow("a row is one JSON object");
  });
});

describe("in the terminal", () => {
  const go = (...does: Parameters<typeof person>) =>
    reviewInTerminal(batch, "ada", seen, person(...does), io);

  test("approve, reject with a reason by number, edit what is faulty", async () => {
    await go("a", "r", "2", "e", (text) => text.replace("lists", "list"));
    expect(standing()).toEqual(["approve", "reject", "edit"]);
    expect(batch.item(2).decision).toMatchObject({ by: "ada", reason: "unnatural request" });
    expect(batch.approved()).toEqual([good, faulty.replace("lists", "list")]);
    expect(said.join("\n")).toContain('cannot be trained: run has no subcommand "lists"');
  });

  test("what is faulty cannot be approved, nor an edit that stays faulty", async () => {
    const still = (text: string) => text + " ";
    await go("s", "s", "a", "e", still, "x", "q");
    expect(standing()).toEqual([undefined, undefined, undefined]);
    expect(said.join("\n")).toContain("it could not be trained: e edits it");
  });

  test("undo takes back the last decision and shows its item again", async () => {
    await go("a", "a", "u", "r", "my own words", "s");
    expect(standing()).toEqual(["approve", "reject", undefined]);
    expect(batch.item(2).decision!.reason).toBe("my own words");
  });

  test("a decision of somebody else is told and kept", async () => {
    const grace = await Batch.open(queue, id);
    let first = true;
    const ada: Person = {
      ...person(),
      async key() {
        if (!first) return "q";
        first = false;
        await grace.decide("grace", [{ item: 1, what: "reject", reason: "no" }]);
        return "a";
      },
    };
    await reviewInTerminal(batch, "ada", seen, ada, io);
    expect(batch.item(1).decision).toMatchObject({ by: "grace", what: "reject" });
    expect(said.join("\n")).toMatch(/item 1 was rejected by grace at .*: no/);
  });

  test("text that would move the cursor is made visible", async () => {
    const rows = ['{"prompt":"a\\u001b[2Jb\\u202ec","completion":"d"}'];
    batch = await Batch.open(queue, await createBatch(queue, { agent: "x", source: "", rows }));
    await reviewInTerminal(batch, "ada", (text) => seenRow(text), person("q"), io);
    expect(said.join("\n")).toContain("a␛[2Jb�c");
  });
});

describe("a file of decisions", () => {
  const apply = (...lines: string[]) => {
    const path = join(root, "d.jsonl");
    writeFileSync(path, lines.join("\n"));
    return applyDecisions(path, batch, "ci", seen, io);
  };

  test("is taken whole, and a second time changes nothing", async () => {
    const lines = [
      '{"item":1,"what":"approve"}',
      "",
      '{"item":2,"what":"reject","reason":"dull"}',
      `{"item":3,"what":"edit","row":${faulty.replace("lists", "list")}}`,
    ];
    expect(await apply(...lines)).toEqual({ taken: 3, before: 0 });
    expect(standing()).toEqual(["approve", "reject", "edit"]);
    expect(await apply(...lines)).toEqual({ taken: 0, before: 3 });
    expect(await apply('{"item":1,"what":"undo"}')).toEqual({ taken: 1, before: 0 });
    expect(standing()[0]).toBeUndefined();
  });

  test("every line that cannot be taken is named, and then none is", async () => {
    await batch.decide("ada", [{ item: 2, what: "approve" }]);
    const bad = [
      ['{"item":9,"what":"approve"}', "there is no item 9; items are 1 to 3"],
      ['{"item":3,"what":"approve"}', 'could not be trained: run has no subcommand "lists"'],
      ['{"item":2,"what":"reject","reason":"x"}', "item 2 was approved by ada"],
      ['{"item":1,"what":"maybe"}', '"what" must be approve, edit, reject, undo, got "maybe"'],
      ['{"item":"1","what":"approve"}', '"item" must be a whole number'],
      ['{"item":1,"what":"reject"}', 'needs "reason"'],
      ['{"item":1,"what":"approve","reason":"x"}', '"reason" has no meaning with "approve"'],
      ['{"item":1,"what":"edit"}', 'needs "row"'],
      ["[]", "a decision is a JSON object"],
      ["{", "not valid JSON"],
    ];
    for (const [line, why] of bad) {
      const fail = await apply('{"item":1,"what":"approve"}', line!).catch((e) => e) as Fail;
      expect(fail).toBeInstanceOf(Fail);
      expect(fail.why).toContain(`line 2: `);
      if (!line!.includes('"item":1,')) expect(fail.why).toContain(why!);
      const alone = await apply("", line!).catch((e) => e) as Fail;
      expect(alone.why).toContain(`line 2: `);
      expect(alone.why).toContain(why!);
      expect(standing()).toEqual([undefined, "approve", undefined]);
    }
  });

  test("an item stands in it once", async () => {
    const fail = await apply('{"item":1,"what":"approve"}', '{"item":1,"what":"undo"}')
      .catch((e) => e) as Fail;
    expect(fail.why).toBe("line 2: item 1 is decided on line 1 already");
  });
});

test("the command: a file's rows wait, are decided by a file, and come out once none waits", async () => {
  const rows = join(root, "mine.jsonl"), out = join(root, "approved.jsonl");
  writeFileSync(rows, `${good}\n${other}\n`);
  const stop = { requested: undefined, watched: false };
  // What it prints is looked at elsewhere; what it writes into files is not held back.
  const { writeSync } = fs;
  const quiet = spyOn(fs, "writeSync").mockImplementation(
    ((fd: number, bytes: Uint8Array) => fd <= 2 ? bytes.length : writeSync(fd, bytes)) as never,
  );
  try {
    const whet = (...argv: string[]) =>
      run(["data", "review", rows, "--queue", queue, ...argv], stop);
    const decided = join(root, "one.jsonl"), rest = join(root, "two.jsonl");
    writeFileSync(decided, '{"item":1,"what":"approve"}\n');
    writeFileSync(rest, '{"item":2,"what":"reject","reason":"no"}\n');
    expect(await whet()).toBe(2);
    expect(await whet("--decisions", decided, "--export", out)).toBe(10);
    expect(await whet("--decisions", rest, "--export", out)).toBe(0);
    expect(await whet("--export", out, "--non-interactive")).toBe(0);
  } finally {
    quiet.mockRestore();
  }
  expect(readFileSync(out, "utf8")).toBe(`${good}\n`);
});
