import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Batch, createBatch } from "../src/data/review.ts";
import { seenRow } from "../src/data/review_row.ts";
import { openReviewPage, type ReviewPage } from "../src/serve/review.ts";
import { chromium, Tab } from "./chromium.ts";

const root = mkdtempSync(join(tmpdir(), "whet-review-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const seen = (text: string) => seenRow(text);
async function opened(name: string, rows: readonly object[]) {
  const queue = join(root, name);
  const id = await createBatch(queue, {
    agent: name,
    source: "a test",
    rows: rows.map((row) => JSON.stringify(row)),
  });
  const open = () => Batch.open(queue, id);
  return { page: openReviewPage(await open(), "ada", seen, 0), open };
}
const rowOf = (i: number) => ({ prompt: `question ${i}`, completion: `answer ${i}` });

describe("who may review", () => {
  let page: ReviewPage, url: URL;
  beforeAll(async () => {
    ({ page } = await opened("door", [rowOf(1)]));
    url = new URL(page.url);
  });
  afterAll(() => page.close());
  const ask = (path: string, init: RequestInit = {}, token = url.searchParams.get("token")) =>
    fetch(`${url.origin}${path}?token=${token}`, init);
  const post = (headers: Record<string, string>, body = "{}") =>
    ask("/decide", { method: "POST", headers, body });
  const json = { "content-type": "application/json" };

  test("the page with its token, and nothing without, for no other name and no other page", async () => {
    const whole = await ask("/");
    expect(whole.status).toBe(200);
    expect(whole.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect((await ask("/", {}, "x")).status).toBe(401);
    expect((await ask("/items", {}, "")).status).toBe(401);
    expect((await ask("/", { headers: { host: "evil.example" } })).status).toBe(421);
    expect((await ask("/", { headers: { origin: "http://evil.example" } })).status).toBe(403);
    expect((await post({ ...json, origin: "http://evil.example" })).status).toBe(403);
    expect((await post({ "content-type": "text/plain" })).status).toBe(415);
    expect((await ask("/decide", { method: "PUT", headers: json, body: "{}" })).status).toBe(405);
    expect((await ask("/other")).status).toBe(404);
  });

  test("nonsense is refused and decides nothing", async () => {
    expect((await post(json, "{")).status).toBe(400);
    expect((await post(json, "[]")).status).toBe(400);
    const acts = [
      { item: 2, what: "approve" },
      { item: "1", what: "approve" },
      { item: 1, what: "burn" },
      { item: 1, what: "edit" },
      { item: 1, what: "edit", text: '{"prompt":"q"}' },
      { item: 1, what: "edit", text: "{" },
      { item: 1, what: "reject", reason: " " },
    ];
    for (const act of acts) {
      expect((await post(json, JSON.stringify({ acts: [act] }))).status).toBe(422);
    }
    const { counts } = await (await ask("/items")).json() as { counts: { waiting: number } };
    expect(counts.waiting).toBe(1);
  });
});

describe.skipIf(!chromium)("in a browser", () => {
  let tab: Tab;
  beforeAll(async () => {
    tab = await Tab.open();
  });
  afterAll(() => tab?.close());
  const key = (name: string, more = "") =>
    tab.evaluate(`document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
      { key: ${JSON.stringify(name)}, bubbles: true, cancelable: true ${more} }))`);
  const shows = (text: string) =>
    tab.until(`document.getElementById("item").textContent.includes(${JSON.stringify(text)})`);
  const type = (at: number, text: string) =>
    tab.evaluate(`(() => {
      const area = document.querySelectorAll("textarea")[${at}];
      area.value = ${JSON.stringify(text)};
      area.dispatchEvent(new Event("input", { bubbles: true }));
      area.focus();
    })()`);

  test("rows are approved, rejected, edited and taken back by keys alone", async () => {
    const rows = [1, 2, 3].map(rowOf);
    const hostile = { prompt: "<img src=http://x.example/ onerror=alert(1)>", completion: "x" };
    const { page, open } = await opened("keys", [
      ...rows,
      { prompt: "q", completion: "" },
      hostile,
    ]);
    await tab.goto(page.url);
    await shows("question 1");
    await key("a");
    await shows("question 2");
    await key("r");
    await key("1");
    await shows("question 3");
    await key("e");
    await type(1, "");
    await tab.until(`document.querySelector(".problem")?.textContent.includes("is empty")`);
    await type(1, "a better answer");
    await tab.until(`document.querySelector(".fine") !== null`);
    await key("Enter", ", ctrlKey: true");
    await shows("completion is empty");
    await key("a"); // it could not be trained
    await key("r");
    await key("1");
    await shows("<img src=");
    await key("u"); // the last one waits again
    await shows("completion is empty");
    const batch = await open();
    expect(batch.items().map(({ decision }) => decision?.what)).toEqual([
      "approve",
      "reject",
      "edit",
      undefined,
      undefined,
    ]);
    expect(JSON.parse(batch.item(3).now)).toEqual({ ...rows[2], completion: "a better answer" });
    expect(batch.item(2).decision).toMatchObject({ by: "ada", reason: "wrong answer" });
    expect(tab.requests.filter((url) => !url.startsWith(new URL(page.url).origin))).toEqual([]);
    expect(tab.errors).toEqual([]);
    await page.close();
  }, 60_000);

  test(
    "what others decide shows; an item decided twice is told; the list is approved when confirmed",
    async () => {
      const { page, open } = await opened(
        "many",
        Array.from({ length: 700 }, (_, i) => rowOf(i + 1)),
      );
      const grace = await open();
      await tab.goto(page.url);
      await tab.until(`document.getElementById("filters").textContent.includes("Waiting 700")`);
      await grace.decide("grace", [{ item: 1, what: "reject", reason: "no" }]);
      await key("a");
      await tab.until(`document.getElementById("toast").textContent.includes("decided by grace")`);
      await grace.decide("grace", [{ item: 700, what: "approve" }]);
      await tab.until(`document.getElementById("filters").textContent.includes("Waiting 698")`);
      await tab.evaluate(`(() => {
      const search = document.getElementById("search");
      search.value = "question 69";
      search.dispatchEvent(new Event("input"));
      document.getElementById("bulk").click();
    })()`);
      await tab.until(`document.getElementById("dialog").textContent.includes("Approve 17 rows")`);
      await tab.evaluate(`document.querySelector("#dialog .yes").click()`);
      await tab.until(`document.getElementById("standing").textContent.startsWith("19 of 700")`);
      const batch = await open();
      expect(batch.counts).toEqual({ waiting: 681, approved: 18, edited: 0, rejected: 1 });
      // one act, one line
      expect(batch.item(69).decision!.seq).toBe(batch.item(699).decision!.seq);
      expect(batch.item(1).decision!.by).toBe("grace");
      expect(page.finished()).toBe(false);
      await page.close();
    },
    60_000,
  );
});
