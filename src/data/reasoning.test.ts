import { describe, expect, test } from "bun:test";
import { convertRow } from "./convert.ts";
import { judgeChains, type ReasonedRow, reasonedRow, written } from "./reasoning.ts";

const chain = (prompt: string, reasoning: string, answer: unknown) => ({
  prompt,
  reasoning,
  answer,
});
const flags = (rows: Parameters<typeof judgeChains>[0]) =>
  judgeChains(rows).map((row) => row.map(({ flag }) => flag));

/** The example of the second form of the CCP trainings. */
const GOOD = chain(
  "Which deals are at risk this quarter?",
  "- 'at risk' explicitly signals churn/risk concern\n- 'deals' indicates active pipeline\n" +
    "- 'this quarter' explicitly sets time horizon (confidence: 1.0)\n" +
    "- Question about deal-level risk suggests manager perspective",
  {
    intent_type: "churn_risk_assessment",
    motion: "churn_prevention",
    time_horizon: "this_quarter",
    role_assumption: "manager",
    confidence: 0.8,
  },
);

describe("chains", () => {
  test("a good one has no flag", () => expect(flags([GOOD])).toEqual([[]]));

  test("shallow: too short, or the JSON once more", () => {
    const again = "- intent type is churn risk assessment\n- motion is churn prevention\n" +
      "- time horizon is this quarter\n- role assumption is manager";
    expect(flags([{ ...GOOD, reasoning: "- at risk" }, { ...GOOD, reasoning: again }]))
      .toEqual([["shallow"], ["shallow"]]);
  });

  test("copied: from the prompt, but for quotations; from another row", () => {
    const prompt = "please show me all of the accounts in the north that nobody called since may";
    const why = " so this is about coverage, most likely for a manager who plans visits";
    expect(flags([chain(prompt, `- ${prompt}, which is a request`, { intent: "list" })]))
      .toEqual([["copied"]]);
    expect(flags([chain(prompt, `- "${prompt}",${why}`, { intent: "list" })])).toEqual([[]]);
    const other = { ...GOOD, prompt: "Which accounts will leave?" };
    const [first, second] = judgeChains([GOOD, other]);
    expect(first).toEqual([]);
    expect(second).toEqual([{
      flag: "copied",
      why: "100 % of it stands in the chain of row 1",
    }]);
  });

  test("templated: one skeleton with other values", () => {
    const beds = ["north", "south", "pond", "gate", "fence"];
    const rows = beds.map((bed) =>
      chain(
        `water the ${bed} bed`,
        `- the request wants moisture there\n- ${bed} names the place`,
        {
          bed,
        },
      )
    );
    const seen = judgeChains(rows);
    expect(seen.every((row) => row.some(({ flag }) => flag === "templated"))).toBe(true);
    expect(flags(rows.slice(1)).flat()).not.toContain("templated");
  });

  test("contradicting: a field with another value than the JSON has", () => {
    const other = { ...GOOD, answer: { ...GOOD.answer as object, role_assumption: "sales_rep" } };
    const says = (more: string) => ({ ...GOOD, reasoning: `${GOOD.reasoning}\n- ${more}` });
    const judged = (more: string) =>
      judgeChains([other, says(more)])[1]!.filter(({ flag }) => flag === "contradicting");
    expect(judged("so role_assumption is sales_rep, as they ask for their own")).toEqual([{
      flag: "contradicting",
      why: "says role assumption is sales rep, the JSON has manager",
    }]);
    expect(judged("so `role assumption` = manager")).toEqual([]);
    expect(judged("the role assumption is not sales rep")).toEqual([]);
    expect(judged("the role assumption is left open by the words")).toEqual([]);
    const quarter = { ...GOOD, answer: { ...GOOD.answer as object, time_horizon: "this_year" } };
    expect(judgeChains([GOOD, { ...quarter, prompt: "again" }])[1]).toContainEqual({
      flag: "contradicting",
      why: "says this quarter is the time horizon, the JSON has this year",
    });
    const minutes = {
      ...GOOD,
      answer: { minutes: 5 },
      reasoning: `${GOOD.reasoning}\n- minutes: `,
    };
    expect(judgeChains([{ ...minutes, reasoning: minutes.reasoning + "12" }])[0]!.at(-1)!.why)
      .toBe("says minutes is 12, the JSON has 5");
    expect(judgeChains([{ ...minutes, reasoning: minutes.reasoning + "5.0" }])).toEqual([[]]);
  });
});

describe("rows", () => {
  const read = (value: unknown) => reasonedRow({ line: 1, text: "", value }, 0) as ReasonedRow;

  test("the second form keeps its names and becomes the template", () => {
    const { prompt, reasoning, answer } = GOOD;
    const row = written(read({ gtm_prompt: prompt, intent_ir: answer }), reasoning);
    expect(row).toEqual({ gtm_prompt: prompt, reasoning, intent_ir: answer });
    const made = convertRow({ line: 1, text: "", value: row }, 0, {
      from: "cot",
      to: "cot",
      system: "You are the Phoenix Context Collapse Parser (CCP)...",
      eos: "</s>",
    });
    expect("row" in made && made.row).toEqual({
      prompt: "[INST] You are the Phoenix Context Collapse Parser (CCP)...\n\n" +
        "IMPORTANT: You must REASON about the request before producing structured output.\n\n" +
        `User request: ${prompt} [/INST]\n`,
      completion: `<reasoning>\n${reasoning}\n</reasoning>\n\n<intent_ir>\n${
        JSON.stringify(answer, null, 2)
      }\n</intent_ir></s>`,
    });
  });

  test("other forms become prompt, reasoning, response", () => {
    const answer = { bed: "north" };
    const rows = [
      { prompt: "soak", json: answer },
      { prompt: "soak", completion: JSON.stringify(answer) },
      {
        messages: [{ role: "user", content: "soak" }, {
          role: "assistant",
          content: '{"bed":"north"}',
        }],
      },
    ];
    for (const row of rows) {
      expect(written(read(row), "- why", "template")).toEqual({
        prompt: "soak",
        reasoning: "- why",
        response: answer,
        metadata: { reasoning: "template" },
      });
    }
    expect(
      read({ instruction: "soak", context: { bed: "north" }, output: '{"bed":"north"}' }).prompt,
    )
      .toBe('soak\n{"bed":"north"}');
    expect(read({ prompt: "soak", completion: "wet" })).toEqual(
      { problem: "completion is no JSON object" } as unknown as ReasonedRow,
    );
  });
});
