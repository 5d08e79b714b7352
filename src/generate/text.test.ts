import { expect, test } from "bun:test";
import { StopText } from "./text.ts";

function said(pieces: readonly string[], stops: readonly string[]) {
  const until = new StopText(stops), told = pieces.map((piece) => until.push(piece));
  if (!until.stopped) told.push(until.flush());
  return { told, text: told.join(""), stopped: until.stopped };
}

test("a stop string ends a text wherever its pieces part it", () => {
  const text = "one two</end> three", stop = "</end>";
  for (let a = 0; a <= text.length; a++) {
    for (let b = a; b <= text.length; b++) {
      const pieces = [text.slice(0, a), text.slice(a, b), text.slice(b)];
      expect(said(pieces, [stop, "zzz"])).toMatchObject({ text: "one two", stopped: true });
    }
  }
});

test("what only looks like a stop comes through, and no sooner than it must be held", () => {
  expect(said(["a<", "/en", "x"], ["</end>"])).toEqual({
    told: ["a", "", "</enx", ""],
    text: "a</enx",
    stopped: false,
  });
  expect(said(["ab<", "/"], ["</end>"]).text).toBe("ab</");
  expect(said(["aab"], ["ab"]).text).toBe("a");
  expect(said(["xaaab"], ["aab", "ab"]).text).toBe("xa");
  expect(said(["a", "b"], []).told).toEqual(["a", "b", ""]);
});
