import { afterAll, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Exit } from "../base/fail.ts";
import { type Hub, hubOf } from "./hub.ts";
import { filesOf, push } from "./push.ts";

const TOKEN = "hf_0123456789abcdefghij";
const PART = 4096;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

/** A Hub of one repository, and storage on another port, with faults that are asked for. */
class FakeHub {
  exists = false;
  readonly tree = new Map<string, Uint8Array>();
  readonly lfs = new Map<string, Uint8Array>();
  readonly #parts = new Map<string, Uint8Array>();
  readonly calls: string[] = [];
  commits = 0;
  /** What goes wrong: the next answers to paths that match, in order. */
  readonly faults: { path: RegExp; answer: () => Response | "cut" }[] = [];
  readonly #hub = this.#serve(true);
  readonly #storage = this.#serve(false);
  get client(): Hub {
    return { url: new URL(addressOf(this.#hub)), token: TOKEN, patience: 1 };
  }

  #serve(own: boolean): Server {
    return createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part);
      const { method = "", url = "", headers } = request;
      const answer = await this.#answer(`${method} ${url}`, headers, Buffer.concat(parts), own);
      if (answer === "cut") return void request.socket.destroy();
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    }).listen(0, "127.0.0.1");
  }

  fail(path: RegExp, ...answers: (number | "cut")[]) {
    for (const answer of answers) {
      this.faults.push({
        path,
        answer: () =>
          answer === "cut" ? answer : Response.json({ error: `no: ${TOKEN}` }, { status: answer }),
      });
    }
  }

  #answer(
    call: string,
    headers: IncomingHttpHeaders,
    body: Buffer,
    own: boolean,
  ): Response | "cut" {
    const pathname = call.split(" ")[1]!, text = body.toString();
    this.calls.push(call);
    const authorised = headers.authorization === `Bearer ${TOKEN}`;
    if (own !== authorised) {
      return new Response("the token is where it should not be", { status: 401 });
    }
    const at = this.faults.findIndex(({ path }) => path.test(call));
    if (at >= 0) return this.faults.splice(at, 1)[0]!.answer();
    if (pathname === "/api/repos/create") {
      expect(JSON.parse(text)).toEqual({
        type: "model",
        name: "it",
        organization: "me",
        private: true,
      });
      if (this.exists) return new Response("exists", { status: 409 });
      this.exists = true;
      return Response.json({ url: "…" });
    }
    if (pathname === "/api/models/me/it/preupload/main") {
      const { files } = JSON.parse(text) as { files: { path: string; size: number }[] };
      return Response.json({
        files: files.map(({ path, size }) => {
          const there = this.tree.get(path), large = size > 1000;
          const blob = (b: Uint8Array) =>
            createHash("sha1").update(`blob ${b.length}\0`).update(b).digest("hex");
          return {
            path,
            uploadMode: large ? "lfs" : "regular",
            shouldIgnore: false,
            oid: there && (large ? sha256(there) : blob(there)),
          };
        }),
      });
    }
    if (pathname === "/me/it.git/info/lfs/objects/batch") {
      const { objects, transfers } = JSON.parse(text);
      expect(transfers).toEqual(["basic", "multipart"]);
      const [{ oid, size }] = objects, storage = addressOf(this.#storage);
      if (this.lfs.has(oid)) return Response.json({ objects: [{ oid, size }] });
      const n = Math.ceil(size / PART);
      const upload = size <= PART ? { href: `${storage}one/${oid}` } : {
        href: `${addressOf(this.#hub)}complete/${oid}`,
        header: {
          chunk_size: String(PART),
          ...Object.fromEntries(Array.from({ length: n }, (_, i) => [
            String(i + 1).padStart(5, "0"),
            `${storage}part/${oid}/${i + 1}`,
          ])),
        },
      };
      const verify = { href: `${addressOf(this.#hub)}verify` };
      return Response.json({ objects: [{ oid, size, actions: { upload, verify } }] });
    }
    const [, kind, oid, number] = pathname.split("/");
    if (kind === "one") {
      this.lfs.set(oid!, body);
      return new Response();
    }
    if (kind === "part") {
      this.#parts.set(`${oid}/${number}`, body);
      return new Response("", { headers: { etag: `"${sha256(body)}"` } });
    }
    if (kind === "complete") {
      const { parts } = JSON.parse(text) as { parts: { partNumber: number; etag: string }[] };
      const all = parts.map(({ partNumber, etag }) => {
        const part = this.#parts.get(`${oid}/${partNumber}`)!;
        expect(etag).toBe(`"${sha256(part)}"`);
        return part;
      });
      this.lfs.set(oid!, Buffer.concat(all));
      return new Response("{}");
    }
    if (kind === "verify") {
      const { oid, size } = JSON.parse(text);
      return new Response("{}", { status: this.lfs.get(oid)?.length === size ? 200 : 500 });
    }
    expect(pathname).toBe("/api/models/me/it/commit/main");
    expect(headers["content-type"]).toBe("application/x-ndjson");
    for (const { key, value } of text.split("\n").map((line) => JSON.parse(line))) {
      if (key === "file") this.tree.set(value.path, Buffer.from(value.content, "base64"));
      if (key === "lfsFile") this.tree.set(value.path, this.lfs.get(value.oid)!);
      if (key === "header") expect(value.summary).toBe("first");
    }
    return Response.json({ commitOid: `c${++this.commits}` });
  }

  stop() {
    for (const server of [this.#hub, this.#storage]) {
      server.close();
      server.closeAllConnections();
    }
  }
}

const dir = mkdtempSync(join(tmpdir(), "whet-push-"));
let hub = new FakeHub();
beforeEach(() => (hub.stop(), hub = new FakeHub()));
afterAll(() => (hub.stop(), rmSync(dir, { recursive: true })));

const random = (n: number, seed: number) =>
  Uint8Array.from({ length: n }, (_, i) => (i * i * seed + i * 7 + seed) & 255);
const content: Record<string, Uint8Array> = {
  "README.md": Buffer.from("# It\n"),
  "adapter_model.safetensors": random(3 * PART + 17, 3),
  "empty.txt": new Uint8Array(),
  "sub/tokenizer.json": random(PART - 5, 5),
};
for (const [path, bytes] of Object.entries(content)) {
  mkdirSync(join(dir, path, ".."), { recursive: true });
  writeFileSync(join(dir, path), bytes);
}
for (const path of ["checkpoints/1/x", ".git/config", ".env", "train.log"]) {
  mkdirSync(join(dir, path, ".."), { recursive: true });
  writeFileSync(join(dir, path), "stays here");
}

const options = { repo: "me/it", private: true, message: "first" };
const go = () => push(hub.client, filesOf(dir), options);
const arrived = () => Object.fromEntries([...hub.tree].map(([path, b]) => [path, sha256(b)]));
const whole = Object.fromEntries(Object.entries(content).map(([path, b]) => [path, sha256(b)]));

test("a folder arrives whole: small files in the commit, large ones by LFS, in parts", async () => {
  const seen: number[] = [];
  const files = filesOf(dir);
  expect(files.map(({ path }) => path)).toEqual(Object.keys(content).sort());
  const pushed = await push(hub.client, files, {
    ...options,
    onProgress: (n) => void seen.push(n),
  });
  expect(pushed).toMatchObject({ commit: "c1", sent: Object.keys(content).sort(), unchanged: [] });
  expect(pushed.url).toBe(`${hub.client.url}me/it`);
  expect(pushed.bytes).toBe(Object.values(content).reduce((sum, { length }) => sum + length, 0));
  expect(arrived()).toEqual(whole);
  expect(seen.toSorted((a, b) => a - b)).toEqual(seen);

  const again = await go();
  expect([again.commit, again.sent, again.bytes]).toEqual([undefined, [], 0]);
  expect([again.unchanged.length, hub.commits]).toEqual([4, 1]);
});

test("429, 500 and cut connections anywhere are tried again", async () => {
  hub.fail(/create/, 429, "cut");
  hub.fail(/preupload/, 500, 503);
  hub.fail(/batch/, "cut", 502);
  hub.fail(/part\/.*\/2/, 500, "cut", 503);
  hub.fail(/complete/, 500);
  hub.fail(/one/, 503);
  hub.fail(/verify/, 500);
  hub.fail(/commit/, 429, 500);
  expect((await go()).commit).toBe("c1");
  expect(arrived()).toEqual(whole);
});

test("the pause that the server asks for is kept", async () => {
  const slow = () => new Response("", { status: 429, headers: { "retry-after-ms": "300" } });
  hub.faults.push({ path: /create/, answer: slow });
  const began = performance.now();
  await go();
  expect(performance.now() - began).toBeGreaterThan(299);
});

test("after an interruption only what is missing is sent", async () => {
  hub.fail(/commit/, ...Array.from({ length: 6 }, () => 500));
  await expect(go()).rejects.toMatchObject({ exit: Exit.network });
  expect([hub.lfs.size, hub.tree.size]).toEqual([2, 0]);
  hub.calls.length = 0;
  const pushed = await go();
  expect(hub.calls.filter((call) => call.startsWith("PUT"))).toEqual([]);
  expect(pushed).toMatchObject({ commit: "c1", bytes: content["README.md"]!.length });
  expect(arrived()).toEqual(whole);
});

test("storage whose address has run out is asked for another one, but not for ever", async () => {
  hub.fail(/part/, 403);
  expect((await go()).commit).toBe("c1");
  hub.lfs.clear();
  hub.tree.clear();
  hub.fail(/one/, 403, 403, 403);
  await expect(go()).rejects.toMatchObject({
    message: "storage refuses sub/tokenizer.json",
    exit: Exit.network,
  });
});

test("a refusal ends at once, with the right exit code and without the token", async () => {
  for (const [status, exit] of [[401, 8], [403, 8], [400, 7], [307, 7]] as const) {
    hub.fail(/preupload/, status);
    const failed = await go().catch((error) => error);
    expect([status, failed.exit]).toEqual([status, exit]);
    expect(`${failed.message} ${failed.why} ${failed.fix}`).not.toContain(TOKEN);
    expect(failed.why).toContain("[key]");
  }
  expect(hub.calls.filter((call) => call.includes("preupload")).length).toBe(4);
  const nobody = { ...hub.client, url: new URL("http://127.0.0.1:1/") };
  await expect(push(nobody, filesOf(dir), options)).rejects.toMatchObject({ exit: Exit.network });
});

test("a file that holds the token stays here; answers that are no JSON are told", async () => {
  writeFileSync(join(dir, "notes.txt"), `my key is ${TOKEN}`);
  try {
    await expect(go()).rejects.toMatchObject({
      message: "notes.txt holds your token of the Hub",
      exit: Exit.usage,
    });
    expect(hub.commits).toBe(0);
    expect(filesOf(dir, ["*.txt"]).map(({ path }) => path)).not.toContain("notes.txt");
  } finally {
    rmSync(join(dir, "notes.txt"));
  }
  hub.faults.push({ path: /preupload/, answer: () => new Response("<html>proxy") });
  await expect(go()).rejects.toThrow("the Hub's answer is not JSON");
});

test("where the Hub is and who asks comes from the environment", () => {
  const home = mkdtempSync(join(tmpdir(), "whet-hf-"));
  writeFileSync(join(home, "token"), `${TOKEN}\n`);
  expect(hubOf({ HF_HOME: home })).toMatchObject({ token: TOKEN });
  expect(hubOf({ HF_TOKEN: "a", HF_HOME: home }).token).toBe("a");
  expect(hubOf({ HF_TOKEN_PATH: join(home, "token"), HF_HOME: "/none" }).token).toBe(TOKEN);
  expect(hubOf({ HF_TOKEN: TOKEN, HF_ENDPOINT: "https://hub.example" }).url.href).toBe(
    "https://hub.example/",
  );
  const caught = (env: Record<string, string>) => {
    try {
      hubOf(env);
    } catch (error) {
      return (error as { exit: number }).exit;
    }
  };
  expect(caught({ HF_HOME: "/none" })).toBe(Exit.authorisation);
  expect(caught({ HF_TOKEN: TOKEN, HF_HUB_OFFLINE: "1" })).toBe(Exit.network);
  expect(() => hubOf({ HF_TOKEN: TOKEN }, true)).toThrow("may not be asked");
  expect(caught({ HF_TOKEN: TOKEN, HF_ENDPOINT: "http://hub.example" })).toBe(Exit.usage);
  rmSync(home, { recursive: true });
});
