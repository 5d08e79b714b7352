// whet serve as its clients meet it: what it answers, whom, how many at once, and how it ends.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { Exit, Fail } from "../src/base/fail.ts";
import { Device } from "../src/gpu/device.ts";
import { inside } from "./cli/inside.ts";
import { chromium, Tab } from "./chromium.ts";
import { eventsOf, micro, microAdapter, type Serving, serving } from "./serving.ts";

setDefaultTimeout(120_000);
const device = await testDevice();
const root = mkdtempSync(join(tmpdir(), "whet serve ü-"));
afterAll(() => rmSync(root, { recursive: true }));

const CHAT = "/v1/chat/completions", TEXT = "/v1/completions";
const say = (content: string) => [{ role: "user", content }];
const choiceOf = async (response: Response) => {
  const body = await response.json();
  if (!body.choices) throw new Error(JSON.stringify(body));
  return body.choices[0];
};
const textOf = async (response: Response): Promise<string> => (await choiceOf(response)).text;

describe.skipIf(!device)("serving", () => {
  let s: Serving;
  beforeAll(async () => {
    const [red, blue] = [join(root, "red"), join(root, "blue one")];
    await microAdapter(red, 1);
    await microAdapter(blue, 2, "You water gardens.");
    s = await serving({ adapter: [`blue=${blue}`, red], slots: 4, queue: 40, embeddings: true }, {
      device,
    });
  });
  afterAll(() => s.stop());

  test("lists its models, says it is well", async () => {
    const { data } = await (await fetch(`${s.url}/v1/models`)).json();
    expect(data.map(({ id, parent }: never) => [id, parent])).toEqual([
      ["blue", "base"],
      ["red", "base"],
      ["base", undefined],
    ]);
    expect(await (await fetch(`${s.url}/health`)).json()).toEqual({ status: "ok" });
  });

  test("a conversation, whole and streamed, is the answer of whet infer", async () => {
    const asked = { model: "base", messages: say("water the beans"), max_tokens: 60 };
    const response = await s.post(CHAT, asked), body = await response.json();
    expect(body.object).toBe("chat.completion");
    const { message, finish_reason } = body.choices[0];
    const { out } = await inside("infer", [
      ...["-m", micro, "--chat", "-p", "water the beans", "--max-tokens", "60", "--json"],
    ]);
    const infer = JSON.parse(out);
    expect([message.content, finish_reason]).toEqual([infer.text, infer.finish_reason]);
    expect(body.usage.completion_tokens).toBe(infer.ids.length);

    const streamed = await s.post(CHAT, {
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(streamed.headers.get("content-type")).toContain("text/event-stream");
    const events = await eventsOf(streamed) as never[] as {
      choices: { delta: { content?: string }; finish_reason: string | null }[];
      usage: object | null;
    }[];
    expect(events.map((e) => e.choices[0]?.delta.content ?? "").join("")).toBe(infer.text);
    expect(events.at(-1)!.usage).toEqual(body.usage);
    expect(events.at(-2)!.choices[0]!.finish_reason).toBe("stop");
    expect(events.length).toBeGreaterThan(10);
  });

  test("each adapter answers as it does alone", async () => {
    const prompt = "water the beans", answers: string[] = [];
    for (const [model, dir] of [["red", "red"], ["blue", "blue one"]] as const) {
      const ours = await textOf(await s.post(TEXT, { model, prompt, max_tokens: 12 }));
      const argv = ["-m", micro, "-a", join(root, dir), "-p", prompt, "--max-tokens", "12"];
      const { out } = await inside("infer", [...argv, "--json"]);
      expect(ours).toBe(JSON.parse(out.trimEnd().split("\n").at(-1)!).text);
      answers.push(ours);
    }
    answers.push(await textOf(await s.post(TEXT, { model: "base", prompt, max_tokens: 12 })));
    expect(new Set(answers).size).toBe(3);
  });

  test("several prompts, several answers to each, seeds, stops", async () => {
    const warm = { model: "base", prompt: ["Once", "Hi"], n: 3, temperature: 1, max_tokens: 8 };
    const [a, b, c] = await Promise.all(
      [7, 7, 8].map(async (seed) =>
        (await (await s.post(TEXT, { ...warm, seed })).json()).choices
          .map(({ text }: { text: string }) => text)
      ),
    );
    expect(a).toHaveLength(6);
    expect(new Set(a).size).toBeGreaterThan(4);
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    const whole = await textOf(
      await s.post(TEXT, { model: "base", prompt: "Once", max_tokens: 9 }),
    );
    const stop = whole.slice(4, 6);
    const cut = await choiceOf(await s.post(TEXT, { model: "base", prompt: "Once", stop }));
    expect(cut).toMatchObject({ text: whole.slice(0, whole.indexOf(stop)), finish_reason: "stop" });
  });

  test("answers are held to a JSON Schema, whatever is drawn", async () => {
    const schema = {
      type: "object",
      properties: { plant: { enum: ["beans", "peas"] }, minutes: { type: "integer" } },
      required: ["plant", "minutes"],
      additionalProperties: false,
    };
    const json_schema = { name: "watering", strict: true, schema };
    const { message, finish_reason } = await choiceOf(
      await s.post(CHAT, {
        model: "red",
        messages: say("water"),
        temperature: 2,
        max_tokens: 40,
        response_format: { type: "json_schema", json_schema },
      }),
    );
    expect(finish_reason).toBe("stop");
    const value = JSON.parse(message.content);
    expect(Object.keys(value).sort()).toEqual(["minutes", "plant"]);
    expect(schema.properties.plant.enum).toContain(value.plant);
    const any = await choiceOf(
      await s.post(CHAT, {
        model: "red",
        messages: say("water"),
        max_tokens: 60,
        response_format: { type: "json_object" },
      }),
    );
    expect(typeof JSON.parse(any.message.content)).toBe("object");
  });

  test("embeddings are those of whet embed, as numbers and base64", async () => {
    const input = ["water the beans", "a"];
    const { data, usage } = await (await s.post("/v1/embeddings", { model: "red", input })).json();
    writeFileSync(
      join(root, "texts.jsonl"),
      input.map((text) => JSON.stringify({ text }) + "\n").join(""),
    );
    const argv = ["-m", micro, "-a", join(root, "red"), join(root, "texts.jsonl"), "--json"];
    const { out } = await inside("embed", argv);
    const lines = out.trim().split("\n").map((line) => JSON.parse(line).embedding);
    expect(data.map(({ embedding }: { embedding: number[] }) => embedding)).toEqual(lines);
    expect(usage.prompt_tokens).toBeGreaterThan(2);
    const coded = await s.post("/v1/embeddings", {
      model: "red",
      input: input[0],
      encoding_format: "base64",
    });
    const bytes = Buffer.from((await coded.json()).data[0].embedding, "base64");
    expect([...new Float32Array(new Uint8Array(bytes).buffer)]).toEqual(lines[0]);
  });

  test("a conversation without a system prompt gets that of the training", async () => {
    const bare = await s.post(CHAT, { model: "blue", messages: say("hi"), max_tokens: 8 });
    expect(bare.headers.get("whet-prompt")).toBe("completed");
    const system = { role: "system", content: "You water gardens." };
    const full = await s.post(CHAT, {
      model: "blue",
      messages: [system, ...say("hi")],
      max_tokens: 8,
    });
    expect(full.headers.get("whet-prompt")).toBe("trained");
    expect((await choiceOf(bare)).message).toEqual((await choiceOf(full)).message);
    const other = await s.post(CHAT, {
      model: "blue",
      messages: [{ role: "developer", content: "Be rude." }, ...say("hi")],
      max_tokens: 8,
    });
    expect(other.headers.get("whet-prompt")).toBe("differs");
    expect(await s.metric("whet_prompt_differs_total")).toBe(1);
  });

  describe("what it does not do is refused by name", () => {
    const cases: [
      path: string,
      body: unknown,
      status: number,
      code: string,
      param: string | null,
    ][] = [
      [CHAT, "{", 400, "invalid_json", null],
      [CHAT, "[]", 400, "invalid_json", null],
      [CHAT, "[".repeat(100_000), 400, "invalid_json", null],
      [CHAT, {}, 400, "missing_required_parameter", "messages"],
      [CHAT, { messages: say("x"), temprature: 1 }, 400, "unknown_parameter", "temprature"],
      [CHAT, { messages: say("x"), tools: [{}] }, 400, "unsupported_parameter", "tools"],
      [CHAT, { messages: say("x"), logprobs: true }, 400, "unsupported_parameter", "logprobs"],
      [
        CHAT,
        { messages: say("x"), frequency_penalty: 0.5 },
        400,
        "unsupported_parameter",
        "frequency_penalty",
      ],
      [CHAT, { messages: say("x"), temperature: "hot" }, 400, "invalid_value", "temperature"],
      [CHAT, { messages: say("x"), n: 99 }, 400, "invalid_value", "n"],
      [CHAT, { messages: say("x"), model: "gpt-4o" }, 404, "model_not_found", "model"],
      [
        CHAT,
        { messages: [{ role: "tool", content: "x" }] },
        400,
        "invalid_value",
        "messages.0.role",
      ],
      [
        CHAT,
        { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
        400,
        "invalid_value",
        "messages.0.content.0.type",
      ],
      [CHAT, { messages: say("x ".repeat(3000)) }, 400, "context_length_exceeded", "messages"],
      [
        CHAT,
        {
          messages: say("x"),
          response_format: {
            type: "json_schema",
            json_schema: { name: "x", schema: { type: "string", contentEncoding: "base64" } },
          },
        },
        400,
        "invalid_value",
        "response_format",
      ],
      [TEXT, { prompt: [5000] }, 400, "invalid_value", "prompt"],
      [TEXT, { prompt: "x", echo: true }, 400, "unsupported_parameter", "echo"],
      ["/v1/embeddings", { input: "" }, 400, "invalid_value", "input"],
      ["/v1/embeddings", { input: "x", dimensions: 3 }, 400, "unsupported_parameter", "dimensions"],
      ["/v1/audio", {}, 404, "unknown_url", null],
    ];
    test.each(cases)("%s %#", async (path, body, status, code, param) => {
      const response = await s.post(path, body), { error } = await response.json();
      expect([response.status, error.code, error.param]).toEqual([status, code, param]);
      expect(error.type).toBe("invalid_request_error");
    });
    test("what asks for nothing is taken", async () => {
      const off = { tools: [], logprobs: false, presence_penalty: 0, user: "me", stop: null };
      const response = await s.post(CHAT, { messages: say("x"), max_tokens: 1, ...off });
      expect(response.status).toBe(200);
    });
  });

  test("no other name, no other page, no other kind of body", async () => {
    const get = async (headers: Record<string, string>, method = "GET") =>
      (await fetch(`${s.url}/v1/models`, { headers, method })).status;
    const port = new URL(s.url).port;
    expect(await get({})).toBe(200);
    expect(await get({ host: "evil.example" })).toBe(421);
    expect(await get({ host: `evil.example:${port}` })).toBe(421);
    expect(await get({ host: "127.0.0.1:1" })).toBe(421);
    expect(await get({ host: `localhost:${port}` })).toBe(200);
    expect(await get({ origin: "http://evil.example" })).toBe(403);
    expect(await get({ origin: "null" })).toBe(403);
    expect(await get({ origin: s.url })).toBe(200);
    expect(await get({}, "DELETE")).toBe(405);
    const form = await s.post(CHAT, {}, { headers: { "content-type": "text/plain" } });
    expect(form.status).toBe(415);
    const preflight = await fetch(s.url + CHAT, {
      method: "OPTIONS",
      headers: { origin: "http://evil.example", "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(403);
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("it listens on the loopback interface only", () => {
    if (process.platform !== "linux") return console.log("SKIPPED: /proc/net/tcp is of Linux");
    const port = Number(new URL(s.url).port).toString(16).toUpperCase().padStart(4, "0");
    const lines = ["tcp", "tcp6"].flatMap((name) =>
      readFileSync(`/proc/net/${name}`, "utf8").split("\n")
    );
    const listening = lines.map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => local?.endsWith(`:${port}`) && state === "0A");
    expect(listening.map(([, local]) => local)).toEqual([`0100007F:${port}`]);
  });

  test("15 clients at once: each gets the answer that its prompt gets alone", async () => {
    const asked = Array.from({ length: 15 }, (_, i) => ({
      model: ["base", "red", "blue"][i % 3],
      messages: say(`water bed ${i * 7919 % 1000} for ${i} minutes`),
      max_tokens: 10 + i % 7,
      temperature: i % 2,
      seed: i,
    }));
    const ask = async (body: object) => (await choiceOf(await s.post(CHAT, body))).message.content;
    const together = await Promise.all(asked.map(ask));
    for (const [i, body] of asked.entries()) expect(await ask(body)).toBe(together[i]!);
    expect(new Set(together).size).toBeGreaterThan(10);
  });

  test("a client that leaves gives its slots back within a second", async () => {
    for (const stream of [true, false]) {
      const leave = new AbortController();
      const asking = s.post(TEXT, {
        model: "base",
        prompt: "Once",
        n: 9, // five of them wait
        temperature: 1.5,
        max_tokens: 250,
        stream,
      }, { signal: leave.signal });
      if (stream) await (await asking).body!.getReader().read();
      asking.catch(() => {});
      while (await s.metric("whet_slots_busy") < 4) await Bun.sleep(2);
      expect(await s.metric("whet_waiting")).toBeGreaterThan(0);
      leave.abort();
      await Bun.sleep(1000);
      expect(await s.metric("whet_slots_busy") + await s.metric("whet_waiting")).toBe(0);
    }
    expect(await s.metric("whet_disconnects_total")).toBe(2);
  });

  test("more than the queue holds is refused with a time to come again", async () => {
    const long = { model: "base", prompt: "Once", temperature: 2, max_tokens: 250 };
    const leave = new AbortController();
    const many = Array.from(
      { length: 3 },
      () => s.post(TEXT, { ...long, n: 14 }, { signal: leave.signal }),
    );
    for (const one of many) one.catch(() => {});
    while (await s.metric("whet_waiting") < 30) await Bun.sleep(2);
    const refused = await s.post(TEXT, { ...long, n: 16 });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await refused.json()).error).toMatchObject({
      type: "rate_limit_error",
      code: "queue_full",
    });
    // Another model has a queue of its own.
    expect((await s.post(TEXT, { model: "red", prompt: "Once", max_tokens: 1 })).status).toBe(200);
    leave.abort();
    while (await s.metric("whet_waiting") > 0) await Bun.sleep(5);
  });

  test("nothing that was said, and no path, is in its log", () => {
    expect(s.told.out).not.toContain("water");
    expect(s.told.err).not.toContain("water");
    expect(s.told.out).toContain('"event":"request"');
  });
});

describe.skipIf(!device)("a guarded server", () => {
  const token = "canary-4711-do-not-tell";
  let s: Serving;
  beforeAll(async () => {
    s = await serving({
      ...{ allow_origin: ["https://page.example"], max_body: "1MB" },
      ...{ schema: join(import.meta.dir, "../schemas/garden.yaml"), thresholds: [0.9, 0.7, 0.5] },
    }, { token, device });
  });

  test("every route but the page and /health wants the token", async () => {
    const routes: [string, string][] = [
      ["GET", "/"],
      ["GET", "/health"],
      ["GET", "/metrics"],
      ["GET", "/v1/models"],
      ["POST", CHAT],
      ["POST", TEXT],
      ["POST", "/v1/embeddings"],
    ];
    const open = ["/", "/health"];
    for (const [method, path] of routes) {
      const ask = async (authorization?: string) => {
        const headers = { ...(authorization ? { authorization } : {}) };
        return (await fetch(s.url + path, { method, headers })).status;
      };
      const [none, wrong, right] = [
        await ask(),
        await ask(`Bearer ${token}x`),
        await ask(`Bearer ${token}`),
      ];
      const refused = open.includes(path) ? 200 : 401;
      expect([path, none, wrong]).toEqual([path, refused, refused]);
      expect([path, right]).toEqual([path, method === "GET" ? 200 : 415]);
    }
  });

  test("one foreign page may ask, with the token too", async () => {
    const origin = "https://page.example";
    const preflight = await fetch(s.url + CHAT, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-headers": "authorization,x-stainless-os" },
    });
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")])
      .toEqual([204, origin]);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("x-stainless-os");
    expect((await fetch(`${s.url}/v1/models`, { headers: { origin } })).status).toBe(401);
  });

  test("answers fit the server's schema and say what may be done with them", async () => {
    const { message, whet } = await choiceOf(
      await s.post(CHAT, { messages: say("water the beans"), max_tokens: 100 }),
    );
    expect(whet._valid).toBe(true);
    expect(["execute", "confirm", "clarify", "ask"]).toContain(whet.action);
    expect(whet.confidence).toBe(JSON.parse(message.content).confidence);
    const free = await choiceOf(
      await s.post(CHAT, {
        messages: say("water the beans"),
        max_tokens: 1,
        response_format: { type: "text" },
      }),
    );
    expect([free.finish_reason, free.whet._valid]).toEqual(["length", undefined]);
  });

  test("a model that was not asked to embed says so", async () => {
    const { error } = await (await s.post("/v1/embeddings", { input: "x" })).json();
    expect(error.code).toBe("no_embeddings");
  });

  test("large bodies come to an end", async () => {
    expect((await s.post(CHAT, { messages: say("x".repeat(1_100_000)) })).status).toBe(413);
    const chunked = new ReadableStream({
      async pull(controller) {
        await Bun.sleep(1);
        controller.enqueue(new Uint8Array(100_000));
      },
    });
    const endless = await s.post(CHAT, "", { body: chunked, signal: AbortSignal.timeout(5000) })
      .then(({ status }) => status, () => "cut");
    expect([413, "cut"]).toContain(endless);
  });

  test("the page, its answers and its token, in a browser", async () => {
    if (!chromium) return;
    const tab = await Tab.open();
    try {
      await tab.goto(`${s.url}/`);
      await tab.until("document.getElementById('door').open");
      const enter = (text: string) =>
        tab.evaluate(
          `document.getElementById('token').value = ${JSON.stringify(text)};` +
            "document.querySelector('#door .go').click()",
        );
      await enter("not-the-right-token");
      await tab.until("document.getElementById('refused').textContent !== ''");
      await enter(token);
      await tab.until("document.getElementById('model').value === 'base'");
      const type = (text: string) =>
        tab.evaluate(
          `document.getElementById('say').value = ${JSON.stringify(text)};` +
            "document.getElementById('composer').requestSubmit()",
        );
      await type("water the <b>beans</b> & <script>alert(1)</script>");
      await tab.until("document.querySelector('.answer pre .key') !== null");
      expect(await tab.evaluate<string>("document.querySelector('.user').textContent"))
        .toBe("water the <b>beans</b> & <script>alert(1)</script>");
      expect(await tab.evaluate<number>("document.querySelectorAll('.answer .badge').length")).toBe(
        1,
      );
      await tab.evaluate(
        "document.getElementById('form').value = 'text';" +
          "document.getElementById('temperature').value = '2'",
      );
      await type("and now the peas");
      await tab.until("document.querySelectorAll('.answer').length === 2");
      await tab.until("document.querySelectorAll('.answer')[1].textContent.length > 12");
      await tab.evaluate("document.getElementById('send').click()");
      await tab.until("!document.querySelector('.answer.busy')");
      if (process.env.SCREENSHOT) writeFileSync(process.env.SCREENSHOT, await tab.screenshot());
      expect(await tab.evaluate("document.getElementById('send').textContent")).toBe("Send");
      // The refused tokens are what a browser tells of a status 401.
      expect(tab.errors.filter((error) => !error.includes("401"))).toEqual([]);
      expect(tab.requests.filter((url) => !url.startsWith(s.url))).toEqual([]);
      expect(await tab.evaluate("location.href")).toBe(`${s.url}/`);
    } finally {
      await tab.close();
    }
  });

  test("told to stop, it finishes what it can, cuts the rest and takes nothing new", async () => {
    const stuck = connect(Number(new URL(s.url).port), "127.0.0.1"); // a header that never ends
    stuck.on("error", () => {});
    stuck.write("GET / HTTP/1.1\r\nHost: ");
    const short = s.post(TEXT, {
      prompt: "Once",
      max_tokens: 40,
      stream: true,
      response_format: { type: "text" },
    });
    const first = await short;
    const began = performance.now(), over = s.stop();
    const events = await eventsOf(first) as never[] as { choices: { finish_reason: unknown }[] }[];
    expect(events.at(-1)!.choices[0]!.finish_reason).toBe("length");
    await over;
    expect(performance.now() - began).toBeLessThan(10_000);
    await expect(fetch(`${s.url}/health`)).rejects.toThrow();
    stuck.destroy();
    expect(s.told.out + s.told.err).not.toContain(token);
  });
});

describe.skipIf(!device)("what ends a server", () => {
  test("a device that is lost: status 500, then exit 4", async () => {
    using faulty = Object.assign(await Device.open({ faults: { loseAtSubmit: 60 } }), {
      [Symbol.dispose]() {},
    });
    const s = await serving({ slots: 1 }, { device: faulty });
    let answer: Response;
    do answer = await s.post(TEXT, { prompt: "Once", max_tokens: 100, temperature: 1 }); while (
      answer.status === 200
    );
    expect([answer.status, (await answer.json()).error.code]).toEqual([500, "gpu_error"]);
    const failed = await s.over.catch((error) => error);
    expect(failed).toBeInstanceOf(Fail);
    expect(failed.exit).toBe(Exit.gpu);
  });

  test("an interface that others reach needs a token, which is no argument", async () => {
    const argv = ["-m", micro, "--port", "0"];
    const open = await inside("serve", [...argv, "--host", "0.0.0.0"]);
    expect(open.code).toBe(2);
    expect(open.err).toContain("there is no token");
    const any = await inside("serve", [...argv, "--allow-origin", "*"]);
    expect(any.err).toContain("any web page may ask");
    const short = await inside("serve", argv, { WHET_SERVE_TOKEN: "secret" });
    expect(short.code).toBe(2);
    expect(short.err).not.toContain("secret");
    const argument = await inside("serve", [...argv, "--token", "x"]);
    expect(argument.err).toContain("unknown flag");
  });

  test("two models of one name, a port that is taken", async () => {
    const twice = await inside("serve", ["-m", micro, "-a", "base=x"]);
    expect(twice.err).toContain("two models would be named base");
    const busy = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const taken = await inside("serve", ["-m", micro, "--port", String(busy.port)]);
    expect([taken.code, taken.err]).toEqual([2, expect.stringContaining("is taken")]);
    busy.stop();
  });
});
