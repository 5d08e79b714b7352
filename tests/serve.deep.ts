// whet serve as a process, under load for a long time: nothing is mixed up, lost or leaked.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { start } from "./cli/run.ts";
import { micro, microAdapter } from "./serving.ts";

const CLIENTS = 32, LEAVERS = 1000;
const MINUTES = Number(process.env.SOAK_MINUTES ?? 10);

const root = mkdtempSync(join(tmpdir(), "whet-serve-"));
let child: ReturnType<typeof start>, url: string;
const device = await testDevice();

beforeAll(async () => {
  if (!device) return;
  const adapters = await Promise.all(
    ["red", "blue"].map((name, i) => microAdapter(join(root, name), i + 1)),
  );
  const argv = ["serve", "-m", micro, "-a", adapters[0]!, "-a", adapters[1]!, "--port", "0"];
  child = start([...argv, "--json"], root);
  let said = "";
  for await (const part of child.stdout) {
    said += new TextDecoder().decode(part);
    url = /"url":"([^"]+)"/.exec(said)?.[1] ?? "";
    if (url) break;
  }
  // What it says later is read and thrown away, so that it never waits.
  (async () => {
    for await (const _ of child.stdout) continue;
  })();
}, 120_000);
afterAll(async () => {
  child?.kill("SIGKILL");
  await child?.exited;
  rmSync(root, { recursive: true });
});

const post = (path: string, body: unknown, signal?: AbortSignal) =>
  fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
/** A request of which the first piece has come, on a socket of its own: what fetch does with one that it
 * was told to leave is not known. */
async function begun(path: string, body: object): Promise<Socket> {
  const { hostname, port } = new URL(url), text = JSON.stringify(body);
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${text.length}\r\n\r\n${text}`,
  );
  let said = "";
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    said += part;
    if (said.includes("data: ")) break;
  }
  return socket;
}
async function metric(name: string): Promise<number> {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split("\n");
  return lines.filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Request i: model, length, draws and form differ, and a nonce is in each prompt. */
function bodyOf(i: number) {
  const nonce = (i * 7919 + 13) % 99991;
  const schema = {
    type: "object",
    properties: { nonce: { const: nonce }, minutes: { type: "integer" } },
    required: ["nonce", "minutes"],
  };
  return {
    model: ["base", "red", "blue"][i % 3],
    messages: [{ role: "user", content: `water bed ${nonce} for ${i % 60} minutes` }],
    max_tokens: 24 + i % 37,
    temperature: i % 4 === 0 ? 1 : 0,
    seed: i,
    ...(i % 5 === 0
      ? { response_format: { type: "json_schema", json_schema: { name: "n", schema } } }
      : {}),
  };
}

async function ask(i: number): Promise<string> {
  const stream = i % 2 === 0,
    response = await post("/v1/chat/completions", { ...bodyOf(i), stream });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  if (!stream) return (await response.json()).choices[0].message.content;
  const text = await response.text();
  if (!text.endsWith("data: [DONE]\n\n")) throw new Error(`cut: ${text.slice(-200)}`);
  return text.split("\n\n").filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)).choices[0]?.delta.content ?? "").join("");
}

test.skipIf(!device)(`${CLIENTS} clients for ${MINUTES} minutes`, async () => {
  const KINDS = 300, answers = new Map<number, string>(), memory: number[] = [];
  const end = performance.now() + MINUTES * 60_000;
  let next = 0, asked = 0, crossed = 0;
  const client = async () => {
    while (performance.now() < end) {
      const i = next++ % KINDS, answer = await ask(i);
      asked++;
      if (answers.has(i) && answers.get(i) !== answer) crossed++;
      answers.set(i, answer);
    }
  };
  const watch = (async () => {
    while (performance.now() < end) {
      memory.push(await metric("whet_resident_bytes"));
      await Bun.sleep(2000);
    }
  })();
  const before = await metric("whet_device_bytes");
  await Promise.all([...Array.from({ length: CLIENTS }, client), watch]);
  const took = performance.now();
  for (const [i, answer] of answers) if (await ask(i) !== answer) crossed++;
  const bad = (await (await fetch(`${url}/metrics`)).text()).split("\n")
    .filter((line) => /^whet_requests_total.*status="5/.test(line));
  const quarter = Math.floor(memory.length / 4);
  const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length / 2 ** 20;
  const [early, late] = [mean(memory.slice(quarter, 2 * quarter)), mean(memory.slice(-quarter))];
  console.log(
    `${asked} answers by ${CLIENTS} clients, ${answers.size} of them compared with what they are ` +
      `alone (${((performance.now() - took) / 1000).toFixed(0)} s): ${crossed} crossed, ` +
      `${bad.length} kinds of 5xx; resident ${early.toFixed(1)} MiB in the second quarter, ` +
      `${late.toFixed(1)} in the last; device ${(before / 2 ** 20).toFixed(1)} MiB before and ` +
      `${((await metric("whet_device_bytes")) / 2 ** 20).toFixed(1)} after`,
  );
  expect([crossed, bad]).toEqual([0, []]);
  expect(await metric("whet_device_bytes")).toBe(before);
  expect(late - early).toBeLessThan(16);
}, (MINUTES + 5) * 60_000);

test.skipIf(!device)(`${LEAVERS} clients that leave in the middle`, async () => {
  let slowest = 0;
  for (let i = 0; i < LEAVERS; i++) {
    const long = { prompt: "Once", temperature: 2, max_tokens: 250, n: 1 + i % 12, stream: true };
    const socket = await begun("/v1/completions", { ...long, model: "base" });
    socket.destroy();
    const left = performance.now();
    const busy = async () => await metric("whet_slots_busy") + await metric("whet_waiting");
    while (await busy() > 0) await Bun.sleep(2);
    slowest = Math.max(slowest, performance.now() - left);
  }
  console.log(`${LEAVERS} left: all slots free again after at most ${slowest.toFixed(0)} ms`);
  expect(await metric("whet_disconnects_total")).toBe(LEAVERS);
  expect(slowest).toBeLessThan(1000);
}, 1_200_000);

test.skipIf(!device)("SIGTERM under load ends it within 10 seconds", async () => {
  const long = { prompt: "Once", temperature: 2, max_tokens: 250, n: 16, stream: true };
  const asked = Array.from(
    { length: 6 },
    (_, i) => post("/v1/completions", { ...long, model: ["base", "red", "blue"][i % 3] }),
  );
  const streams = await Promise.all(asked);
  const began = performance.now(), texts = streams.map((one) => one.text());
  child.kill("SIGTERM");
  const code = await child.exited, took = performance.now() - began;
  const ends = (await Promise.all(texts)).map((text) =>
    text.endsWith("[DONE]\n\n") ? "whole" : text.includes('"code":"stopping"') ? "told" : "cut"
  );
  console.log(`SIGTERM: ended after ${(took / 1000).toFixed(1)} s, code ${code}; ${ends}`);
  expect(code).toBe(143);
  expect(took).toBeLessThan(10_000);
  expect(ends).not.toContain("cut");
}, 60_000);
