import { expect, test } from "bun:test";
import { encodeExample } from "./prompt.ts";
import { sectionWeights } from "./sections.ts";
import { smallTokenizerFiles } from "./testing.ts";
import { createTokenizer } from "./tokenizer.ts";

const tokenizer = createTokenizer(smallTokenizerFiles());

/** Each character of the text with the weight of the token that it is in. */
function weighed(text: string, sections: Record<string, number>): string | undefined {
  const ids = tokenizer.encode(text, { special: false });
  const weights = sectionWeights(tokenizer, ids, new Map(Object.entries(sections)));
  return weights?.map((w, i) => `${w}`.repeat(tokenizer.decode([ids[i]!]).length)).join("");
}

test("a section counts with its tags, all else one", () => {
  expect(weighed("a<r>xy</r>b", { r: 5 })).toBe("15555555551");
  expect(weighed("<r>x</r><r>y</r>", { r: 0 })).toBe("0".repeat(16));
  expect(weighed("no tag", { r: 5 })).toBeUndefined();
  expect(weighed("<other>x</other>", { r: 5 })).toBeUndefined();
});

test("a token that reaches into a section counts to it", () => {
  // " the" is one token, and the tag ends within nothing but its own characters.
  expect(weighed("<r> the</r> the", { r: 2 })).toBe("222" + "2222" + "2222" + "1111");
  expect(tokenizer.encode(" the", { special: false })).toHaveLength(1);
});

test("of nested sections the inner counts, one left open goes on to the end", () => {
  expect(weighed("<a>1<b>2</b>3</a>4", { a: 2, b: 3 })).toBe("2222" + "33333333" + "22222" + "1");
  expect(weighed("x<a>12", { a: 4 })).toBe("144444");
  expect(weighed("</a>x<a>", { a: 4 })).toBe("11111444");
});

test("the bytes of one character count together", () => {
  const ids = tokenizer.encode("é<r>é</r>é", { special: false });
  const weights = sectionWeights(tokenizer, ids, new Map([["r", 7]]));
  expect(weights).toEqual([1, 1, ...new Array(9).fill(7), 1, 1]);
});

test("a row: the same ids whatever the loss is on; a weight of zero is not trained", () => {
  const example = { prompt: "Say the", answer: "<r>x</r>y" };
  const plain = encodeExample(tokenizer, example);
  expect(plain.weights).toBeUndefined();
  const heavy = encodeExample(tokenizer, example, { lossOn: new Map([["r", 3]]) });
  expect(heavy).toMatchObject({ ids: plain.ids, labels: plain.labels });
  const prompt = plain.labels.filter((label) => label === -100).length;
  expect(heavy.weights).toEqual([...new Array(prompt).fill(0), ...new Array(8).fill(3), 1, 1]);
  const off = encodeExample(tokenizer, example, { lossOn: new Map([["r", 0]]) });
  expect(off.supervised).toBe(2);
  expect(off.labels.slice(0, -2)).toEqual(new Array(plain.ids.length - 2).fill(-100));
  const all = encodeExample(tokenizer, example, { lossOn: "all" });
  expect(all).toMatchObject({ ids: plain.ids, labels: plain.ids });
});
