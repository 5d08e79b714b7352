import { expect, test } from "bun:test";
import { CCP_SUITE, readAdversarial } from "./adversarial.ts";

test("the suite of the CCP trainings, word for word", () => {
  expect(CCP_SUITE.map(({ instruction }) => instruction)).toEqual([
    "accounts",
    "Show me the zorbax metrics",
    "What's the weather?",
    "Show me accounts",
    "Show me my accounts",
  ]);
  for (const row of CCP_SUITE) {
    expect(readAdversarial(JSON.parse(JSON.stringify(row)))).toEqual(row);
  }
  const [a, b] = CCP_SUITE.slice(3);
  expect([a!.expect.differs_from, b!.expect.differs_from]).toEqual([b!.id, a!.id]);
});

test.each([
  [[], "must be a JSON object"],
  [{ id: "a", kind: "odd" }, 'kind is "odd"'],
  [{ id: "a", kind: "minimal", instruction: " " }, "instruction"],
  [{ id: "a", kind: "minimal", instruction: "x", context: "y" }, "context"],
  [{ id: "a", kind: "minimal", instruction: "x", expect: {} }, "expect.answer is missing"],
  [
    { id: "a", kind: "minimal", instruction: "x", expect: { answer: "any", confidence_below: 2 } },
    "expect.confidence_below is 2",
  ],
  [
    { id: "a", kind: "minimal", instruction: "x", expect: { answer: "any", differ: 2 } },
    "expect.differ is unknown",
  ],
])("%j is refused", (value, problem) => {
  const read = readAdversarial(value);
  expect("problem" in read && read.problem).toContain(problem);
});
