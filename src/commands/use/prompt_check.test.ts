import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROMPT_FILE } from "../../data/prompt_lock.ts";
import { openIo } from "../io.ts";
import { lockedSystem } from "./prompt_check.ts";

const adapter = mkdtempSync(join(tmpdir(), "whet lock "));
afterAll(() => rmSync(adapter, { recursive: true }));
const io = openIo({ stop: { requested: undefined, watched: false }, quiet: true });
const user = { role: "user", content: "hello" };

test("conversations without a system prompt get that of the training", () => {
  const bare = [{ messages: [user] }];
  expect(lockedSystem({ model: "m", adapter }, bare, io)).toBeUndefined();
  writeFileSync(join(adapter, PROMPT_FILE), JSON.stringify({ format: 1, system: "Be kind." }));
  expect(lockedSystem({ model: "m", adapter }, bare, io)).toBe("Be kind.");
  const own = { messages: [{ role: "system", content: "Be curt." }, user] };
  expect(lockedSystem({ model: "m", adapter }, [...bare, own], io)).toBeUndefined();
  expect(lockedSystem({ model: "m", adapter }, [{ prompt: "hello" }], io)).toBeUndefined();
  expect(lockedSystem({ model: "m" }, bare, io)).toBeUndefined();
});
