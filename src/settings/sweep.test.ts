import { describe, expect, test } from "bun:test";
import { choicesOf } from "./sweep.ts";

describe("the runs of a sweep", () => {
  test("every combination, the last setting fastest", () => {
    expect(choicesOf(["lr=1e-4,2e-4", "rank=8,16"], false)).toEqual([
      { lr: "1e-4", rank: "8" },
      { lr: "1e-4", rank: "16" },
      { lr: "2e-4", rank: "8" },
      { lr: "2e-4", rank: "16" },
    ]);
  });

  test("one at a time: the others keep their first value", () => {
    expect(choicesOf(["lr=1e-4,2e-4,3e-4", "rank=8,16"], true)).toEqual([
      { lr: "1e-4", rank: "8" },
      { lr: "2e-4", rank: "8" },
      { lr: "3e-4", rank: "8" },
      { lr: "1e-4", rank: "16" },
    ]);
  });

  test("names as other tools spell them, lists apart by |, values once", () => {
    expect(choicesOf(["learning-rate=1e-3", "target=q_proj,v_proj|all-linear"], false)).toEqual([
      { lr: "1e-3", target: "q_proj,v_proj" },
      { lr: "1e-3", target: "all-linear" },
    ]);
    expect(choicesOf(["rank=8, 8,16"], false)).toHaveLength(2);
  });

  test("of preference training: its own settings, and none that would change what the loss is", () => {
    expect(choicesOf(["share-prompt=true,false"], false, "dpo")).toHaveLength(2);
    expect(() => choicesOf(["share-prompt=true,false"], false)).toThrow("no such setting");
    expect(() => choicesOf(["map=a,b"], false, "dpo")).toThrow("no such setting");
    expect(() => choicesOf(["dpo-beta=0.1,0.3"], false, "dpo")).toThrow("cannot be compared");
  });

  test.each([
    ["lr", "expected KEY=A,B"],
    ["lrr=1", "no such setting"],
    ["output=a,b", "no such setting"],
    ["lr=", "no values"],
    ["lr=fast", "--grid lr=fast"],
    ["rank=0", "--grid rank=0"],
    ["scheduler=cosine,step", "--grid scheduler=step"],
  ])("%s is refused", (text, message) => {
    expect(() => choicesOf([text], false)).toThrow(message);
  });

  test("a setting named twice is refused", () => {
    expect(() => choicesOf(["lr=1", "lr=2"], false)).toThrow("twice");
  });
});
