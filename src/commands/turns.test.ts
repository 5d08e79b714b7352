import { expect, test } from "bun:test";
import { turnsOf } from "./turns.ts";

async function read(...lines: string[]) {
  let more = 0;
  const given = (async function* () {
    for (const text of lines) yield await Promise.resolve({ text });
  })();
  const turns = await Array.fromAsync(turnsOf(given, () => more++));
  return { turns, more };
}

test("a line is a turn; blanks around it are not said", async () => {
  const { turns } = await read("water the beans ", "", "  and a/b");
  expect(turns).toEqual([{ say: "water the beans" }, { say: "" }, { say: "and a/b" }]);
});

test("several lines are one text: after a backslash, between fences, at the end", async () => {
  const { turns, more } = await read(
    "one\\",
    "/two\\",
    "three",
    '"""first',
    "  /second",
    "",
    'last"""',
    '"""alone"""',
    '"""',
    "cut",
  );
  expect(turns).toEqual([
    { say: "one\n/two\nthree" },
    { say: "first\n  /second\n\nlast" },
    { say: "alone" },
    { say: "cut" },
  ]);
  expect(more).toBe(7);
});

test("commands, with what follows them", async () => {
  const { turns } = await read(
    "/reset",
    "/system  Be brief.",
    "/save a b.jsonl",
    "/exit",
    "/quit",
    "/halp",
  );
  expect(turns).toEqual([
    { command: "reset", text: "" },
    { command: "system", text: "Be brief." },
    { command: "save", text: "a b.jsonl" },
    { command: "quit", text: "" },
    { command: "quit", text: "" },
    { unknown: "/halp" },
  ]);
});
