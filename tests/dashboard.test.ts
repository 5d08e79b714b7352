import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reportHtml } from "../src/report/html.ts";
import { type Manifest, recordOf, type RunEvent } from "../src/report/record.ts";
import { type Dashboard, openDashboard } from "../src/serve/dashboard.ts";
import { chromium, Tab } from "./chromium.ts";

const root = mkdtempSync(join(tmpdir(), "whet-dashboard-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const manifest: Manifest = {
  format: 1,
  kind: "sft",
  name: "garden",
  status: "running",
  started: "2026-01-02T03:04:05.678Z",
  whet: { version: "0.1.0", commit: "abc" },
  device: {},
  settings: { lr: 1e-3 },
  model: { path: "models/micro" },
  data: { path: "rows.jsonl", rows: 100 },
  steps: 40,
};

const step = (i: number): RunEvent => ({
  event: "step",
  v: 1,
  step: i,
  epoch: i / 20,
  loss: 3 / i,
  lr: 1e-3,
  grad_norm: 1 / i,
  tok_s: 1000,
  mem_bytes: 2 ** 30,
  ms: 100,
});

function folder(name: string): string {
  const path = join(root, name);
  Bun.spawnSync(["mkdir", "-p", path]);
  writeFileSync(join(path, "run.json"), JSON.stringify(manifest, null, 2));
  writeFileSync(join(path, "metrics.jsonl"), "");
  return path;
}

const add = (path: string, ...events: RunEvent[]) =>
  appendFileSync(
    join(path, "metrics.jsonl"),
    events.map((event) => JSON.stringify(event) + "\n").join(""),
  );

describe("who may look", () => {
  let ui: Dashboard, port: string, token: string;
  beforeAll(async () => {
    ui = await openDashboard(folder("door"));
    const url = new URL(ui.url);
    [port, token] = [url.port, url.searchParams.get("token")!];
  });
  afterAll(() => ui.close());
  const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers, method });

  test("the page with its token, and nothing without", async () => {
    const page = await fetch(ui.url);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(page.headers.get("referrer-policy")).toBe("no-referrer");
    expect((await ask("/")).status).toBe(401);
    expect((await ask(`/?token=${token}x`)).status).toBe(401);
    expect((await ask("/events")).status).toBe(401);
    expect((await ask(`/other?token=${token}`)).status).toBe(404);
  });

  test("no other name, no other page, no other method", async () => {
    expect((await ask(`/?token=${token}`, { host: "evil.example" })).status).toBe(421);
    expect((await ask(`/?token=${token}`, { origin: "http://evil.example" })).status).toBe(403);
    expect((await ask(`/?token=${token}`, {}, "POST")).status).toBe(405);
  });

  test("address and token stay the same after a restart", async () => {
    await ui.close();
    const again = await openDashboard(join(root, "door"));
    expect(again.url).toBe(ui.url);
    ui = again;
  });

  test("a port that is taken is told", async () => {
    expect(openDashboard(folder("taken"), Number(port))).rejects.toThrow(`port ${port} is taken`);
  });
});

/** The data lines of an event stream until there are `count`. */
async function lines(url: string, count: number, headers: Record<string, string> = {}) {
  const abort = new AbortController();
  const response = await fetch(url.replace("/?", "/events?"), { headers, signal: abort.signal });
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of response.body!) {
    text += decoder.decode(part, { stream: true });
    if (text.split("\n").slice(0, -1).filter((l) => l.startsWith("data: {")).length >= count) break;
  }
  abort.abort();
  const all = text.slice(0, text.lastIndexOf("\n")).split("\n");
  return {
    data: all.filter((l) => l.startsWith('data: {"event"')).map((l) => JSON.parse(l.slice(6))),
    id: all.filter((l) => l.startsWith("id: ")).at(-1)?.slice(4),
  };
}

describe("what is told", () => {
  test("everything from the start, then from where the page stopped listening", async () => {
    const path = folder("told"), ui = await openDashboard(path);
    add(path, step(1), step(2));
    const first = await lines(ui.url, 3);
    expect(first.data.map((e) => e.step)).toEqual([1, 2]);
    add(path, step(3));
    const rest = await lines(ui.url, 2, { "last-event-id": first.id! });
    expect(rest.data.map((e) => e.step)).toEqual([3]);
    expect(rest.id).toBe(String(statSync(join(path, "metrics.jsonl")).size));
    await ui.close();
  });

  test("a long run in pieces, lines longer than a piece whole, half a line not yet", async () => {
    const path = folder("long"), ui = await openDashboard(path);
    const long = { event: "sample", prompt: "x".repeat(700_000), output: "ä".repeat(100) };
    add(path, ...Array.from({ length: 4000 }, (_, i) => step(i + 1)), long);
    appendFileSync(join(path, "metrics.jsonl"), '{"event":"st');
    const { data } = await lines(ui.url, 4002);
    expect(data).toHaveLength(4001);
    expect(data.at(-1)).toEqual(long);
    await ui.close();
  });
});

describe.skipIf(!chromium)("in a browser", () => {
  let tab: Tab;
  beforeEach(async () => void (tab = await Tab.open()), 60_000);
  afterEach(() => tab?.close());

  test("curves grow while the run goes on, and the page comes back after a restart", async () => {
    const path = folder("live");
    let ui = await openDashboard(path);
    add(path, { event: "start" }, step(1), step(2));
    await tab.goto(ui.url);
    await tab.until("document.querySelectorAll('#charts path').length >= 4");
    expect(await tab.evaluate<string>("document.querySelector('#status').textContent")).toBe(
      "running",
    );
    const told = () => tab.evaluate<string>("document.querySelector('#tiles').textContent");
    expect(await told()).toContain("2of 40 steps");

    add(path, step(3), {
      event: "sample",
      step: 3,
      prompt: "<img src=x onerror=alert(1)>",
      output: "yes",
      expected: "no",
    });
    ui.grown();
    await tab.until("document.querySelector('#tiles').textContent.includes('3of 40')");
    expect(await tab.evaluate<number>("document.images.length")).toBe(0);
    expect(await tab.evaluate<string>("document.querySelector('#answers').textContent"))
      .toContain("<img src=x");

    await ui.close();
    await tab.until("document.querySelector('#status').textContent.startsWith('no connection')");
    add(path, { event: "start", resumed_from: 2 }, step(3), step(4));
    ui = await openDashboard(path);
    await tab.until("document.querySelector('#tiles').textContent.includes('4of 40')", 30_000);
    expect(await tab.evaluate<number>("steps.length")).toBe(4);

    if (process.env.WHET_SHOTS) {
      await Bun.sleep(600);
      writeFileSync(join(process.env.WHET_SHOTS, "dashboard.png"), await tab.screenshot());
    }
    writeFileSync(join(path, "run.json"), JSON.stringify({ ...manifest, status: "finished" }));
    ui.grown();
    await tab.until("document.querySelector('#status').textContent === 'finished'");
    const strange = tab.requests.filter((u) => !u.startsWith(new URL(ui.url).origin));
    expect(strange).toEqual([]);
    expect(tab.errors.filter((e) => !e.includes("ERR_") && !e.includes("Failed to load"))).toEqual(
      [],
    );
    await ui.close();
  }, 60_000);

  test("a report opens from its file, asks for nothing, and has no error", async () => {
    const file = join(root, "report.html");
    const events: RunEvent[] = Array.from({ length: 40 }, (_, i) => step(i + 1));
    writeFileSync(file, reportHtml(recordOf(manifest, events)));
    await tab.goto(`file://${file}`);
    await tab.until("document.querySelectorAll('svg path').length >= 4");
    expect(tab.requests).toEqual([`file://${file}`]);
    expect(tab.errors).toEqual([]);
  }, 60_000);
});
