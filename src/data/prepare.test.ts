import { describe, expect, test } from "bun:test";
import { Fail } from "../base/fail.ts";
import { createChatTemplate } from "../text/chat_template.ts";
import { smallTokenizerFiles } from "../text/testing.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import { prepareSft } from "./prepare.ts";
import type { SftExample } from "./rows.ts";

const tokenizer = createTokenizer(smallTokenizerFiles());
const template = createChatTemplate(
  "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}[{% endif %}",
  tokenizer,
);
const prepare = (
  examples: readonly SftExample[],
  maxSeq = 100,
  overlong: "drop" | "error" | "truncate" = "error",
) => prepareSft(examples, tokenizer, { template, name: "rows.jsonl", maxSeq, overlong });

function failure(run: () => unknown): Fail {
  try {
    run();
  } catch (error) {
    if (error instanceof Fail) return error;
  }
  throw new Error("nothing was thrown");
}

/** `length` ids of which the last `trained` are trained. */
const ids = (line: number, length: number, trained: number): SftExample => ({
  line,
  ids: Array.from({ length }, (_, i) => i),
  labels: Array.from({ length }, (_, i) => i < length - trained ? -100 : i),
});

describe("prepareSft", () => {
  test("trains the answer and the end token, nothing of the prompt", () => {
    const { rows, report } = prepare([{ line: 3, prompt: "abc", answer: "de" }]);
    const [row] = rows;
    const answer = [...tokenizer.encode("de", { special: false }), tokenizer.eos!];
    expect(row!.line).toBe(3);
    expect(row!.ids.slice(-answer.length)).toEqual(answer);
    expect(row!.labels).toEqual([
      ...row!.ids.slice(0, -answer.length).map(() => -100),
      ...answer,
    ]);
    expect(row!.targets).toBe(answer.length);
    expect(report).toEqual({
      rows: 1,
      tokens: row!.ids.length,
      longest: row!.ids.length,
      overlong: 0,
      tokensLost: 0,
      endsLost: 0,
      dropped: 0,
    });
  });

  test("a tokenizer with more tokens than the model: the row that needs them is named", () => {
    const options = { template, name: "rows.jsonl", maxSeq: 9, overlong: "error" } as const;
    const example = { line: 7, prompt: "abc", answer: "de" };
    const all = prepareSft([example], tokenizer, options).rows[0]!.ids;
    const most = Math.max(...all);
    const within = (vocabulary: number) =>
      prepareSft([example], tokenizer, { ...options, vocabulary });
    expect(within(most + 1).rows[0]!.ids).toEqual(all);
    expect(failure(() => within(most)).why).toStartWith(
      `line 7: the tokenizer makes token ${most} of it, the model's vocabulary has ${most}: `,
    );
  });

  test("the first label is never a target", () => {
    expect(prepare([{ line: 1, ids: [1, 2, 3], labels: [1, -100, 3] }]).rows[0]!.targets).toBe(1);
  });

  test("rows with nothing to train on are refused with their lines, all of them", () => {
    const empty = (line: number): SftExample => ({
      line,
      messages: [{ role: "user", content: "a" }],
    });
    const good: SftExample = { line: 1, prompt: "a", answer: "b" };
    const fail = failure(() => prepare([good, empty(4), empty(9)]));
    expect(fail.exit).toBe(3);
    expect(fail.message).toBe("2 of 3 rows of rows.jsonl cannot be used");
    expect(fail.why).toContain("line 4: the row has nothing to train on");
    expect(fail.why).toContain("line 9: ");
  });

  test("the limit on length holds to the token", () => {
    const rows = [ids(1, 9, 3), ids(2, 10, 3), ids(3, 11, 3), ids(4, 14, 3)];
    const fail = failure(() => prepare(rows, 10));
    expect(fail.message).toStartWith("2 of 4");
    expect(fail.why).toContain("line 3: the row has 11 tokens, more than the 10 allowed");

    const dropped = prepare(rows, 10, "drop");
    expect(dropped.rows.map((row) => row.line)).toEqual([1, 2]);
    expect(dropped.report).toMatchObject({ overlong: 2, dropped: 2, tokensLost: 25, endsLost: 0 });
    expect(dropped.report).toMatchObject({ rows: 4, tokens: 44, longest: 14 });

    const cut = prepare(rows, 10, "truncate");
    expect(cut.rows.map((row) => [row.line, row.ids.length, row.targets]))
      .toEqual([[1, 9, 3], [2, 10, 3], [3, 10, 2]]);
    // Of the fourth row nothing trained is left, so it goes altogether.
    expect(cut.report).toMatchObject({ overlong: 2, dropped: 1, tokensLost: 15, endsLost: 1 });
  });

  test("no limit and no shape of row gives a row without targets", () => {
    for (let maxSeq = 1; maxSeq <= 32; maxSeq++) {
      const rows = Array.from(
        { length: 60 },
        (_, i) => ids(i + 1, 2 + i % 30, 1 + (i * 7) % (1 + i % 30)),
      );
      const { rows: kept, report } = prepare(rows, maxSeq, "truncate");
      expect(kept.every((row) => row.targets > 0 && row.ids.length <= maxSeq)).toBe(true);
      expect(kept.length + report.dropped).toBe(rows.length);
      const left = kept.reduce((sum, row) => sum + row.ids.length, 0);
      expect(left + report.tokensLost).toBe(report.tokens);
    }
  });
});
