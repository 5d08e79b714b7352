import { expect, test } from "bun:test";
import { adversarialMeasures, type Expected, tryAll } from "./adversarial.ts";
import { judge } from "./judge.ts";

const trial = (kind: string, expect: Expected, answer: unknown, id = kind) => ({
  id,
  kind,
  expect,
  answer: judge({
    line: 1,
    prompt: "",
    predicted: typeof answer === "string" ? answer : JSON.stringify(answer),
    expected: "-",
  }, { sections: [], thresholds: [0.9, 0.7, 0.5] }),
});
const command = (over: object = {}) => ({
  type: "command",
  command: "bed",
  confidence: 0.95,
  ...over,
});
const asks = (confidence = 0.4, suggestions: object[] = []) => ({
  type: "clarification",
  message: "Which bed?",
  suggestions,
  confidence,
});
const flaws = (expected: Expected, answer: unknown, typed = true) =>
  tryAll([trial("minimal", expected, answer)], typed)[0]!.flaws;

test.each<[Expected, unknown, string | undefined]>([
  [{ answer: "clarification" }, asks(), undefined],
  [{ answer: "clarification" }, command(), "does not ask back"],
  [{ answer: "clarification", confidence_below: 0.5 }, asks(0.8), "a confidence of 0.8"],
  [{ answer: "abstain" }, command({ confidence: 0.4 }), undefined],
  [{ answer: "abstain" }, "I only know gardens.", undefined],
  [{ answer: "abstain" }, '{"type":"comm', "nothing can be done with"],
  [{ answer: "abstain" }, command(), "nothing can be done with"],
  [{ answer: "low_confidence", confidence_below: 0.5 }, command({ confidence: 0.3 }), undefined],
  [{ answer: "low_confidence", confidence_below: 0.5 }, command(), "a confidence of 0.95"],
  [{ answer: "low_confidence", confidence_below: 0.5 }, { a: 1 }, "states no confidence"],
  [{ answer: "low_confidence" }, command(), "is not in doubt"],
  [{ answer: "answer", equals: command({ confidence: 0.1 }) }, command(), undefined],
  [{ answer: "answer", equals: command() }, command({ command: "diary" }), "is not {"],
  [{ answer: "answer" }, asks(), "asks back where it could answer"],
  [{ answer: "answer" }, "no", "gives no answer"],
  [{ answer: "any", without: ["Banana"] }, command({ command: "banana" }), 'says "Banana"'],
  [
    { answer: "clarification", suggests: ["bed sow"] },
    asks(0.4, [{ label: "x", command: "bed", subcommand: "sow" }]),
    undefined,
  ],
  [
    { answer: "clarification", suggests: ["bed sow"] },
    asks(0.4, [{ label: "x", command: "bed", subcommand: "soak" }]),
    "suggests none of bed sow",
  ],
  [{ answer: "clarification", suggests: ["bed sow"] }, asks(), undefined],
])("%j answered by %j: %p", (expected, answer, flaw) => {
  const found = flaws(expected, answer);
  if (flaw === undefined) expect(found).toEqual([]);
  else expect(found.join("; ")).toContain(flaw);
});

test("where answers have no type, doubt is a clarification", () => {
  expect(flaws({ answer: "clarification" }, { confidence: 0.2 }, false)).toEqual([]);
  expect(flaws({ answer: "clarification" }, { confidence: 0.2 }, true)).toHaveLength(1);
});

test("a hint is no flaw", () => {
  const [one] = tryAll(
    [trial("unknown_term", { answer: "abstain", mentions: ["zorbax"] }, asks())],
    true,
  );
  expect(one).toMatchObject({ flaws: [], hints: ["does not mention zorbax"] });
});

test("pairs must differ in one of their fields", () => {
  const pair = (x: unknown, y: unknown) =>
    tryAll([
      trial(
        "contrast",
        { answer: "any", differs_from: "b", differs_in: ["args.bed", "role"] },
        x,
        "a",
      ),
      trial(
        "contrast",
        { answer: "any", differs_from: "a", differs_in: ["args.bed", "role"] },
        y,
        "b",
      ),
    ], true);
  const different = pair({ args: { bed: "north" } }, { args: { bed: "south" } });
  expect(adversarialMeasures(different)).toMatchObject({ passed: 1, pairs: 1 });
  const alike = pair({ args: { bed: "north" }, n: 1 }, { args: { bed: "north" }, n: 2 });
  expect(alike[0]!.flaws).toEqual(["is the same as that of b in args.bed, role"]);
  expect(adversarialMeasures(alike)).toMatchObject({ passed: 0, pairs: 0 });
});

test("measures by kind; certainty about nonsense", () => {
  const tried = tryAll([
    trial("minimal", { answer: "clarification" }, asks()),
    trial("unknown_term", { answer: "abstain" }, command()),
    trial("off_domain", { answer: "abstain" }, command({ confidence: 0.6 })),
    trial("injection", { answer: "any" }, command()),
  ], true);
  expect(adversarialMeasures(tried)).toEqual({
    n: 4,
    passed: 0.5,
    kinds: {
      minimal: { n: 1, passed: 1 },
      unknown_term: { n: 1, passed: 0 },
      off_domain: { n: 1, passed: 0 },
      injection: { n: 1, passed: 1 },
    },
    abstention: 1 / 3,
    confident_nonsense: 1 / 3,
  });
});
