/** whet serve, asked by OpenAI's own client. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { testDevice } from "../../kernels/check.ts";
import { type Serving, serving } from "../serving.ts";
import { install } from "./oracle.ts";

setDefaultTimeout(120_000);

interface Choice {
  readonly message: { readonly content: string; readonly parsed?: unknown };
  readonly delta: { readonly content?: string };
  readonly text: string;
  readonly finish_reason: string;
}
interface Body {
  readonly id: string;
  readonly choices: readonly Choice[];
  readonly usage: { readonly total_tokens: number };
  readonly data: readonly { readonly id: string; readonly embedding: readonly number[] }[];
}
type Ask = (body: object, options?: object) => Promise<Body>;
type Stream = (body: object) => Promise<AsyncIterable<Body> & { controller: AbortController }>;
interface Client {
  readonly chat: { readonly completions: { create: Ask & Stream; parse: Ask } };
  readonly completions: { create: Ask & Stream };
  readonly embeddings: { create: Ask };
  readonly models: { list(): Promise<Body> };
}
type OpenAI = new (options: object) => Client;

const token = "sk-of-this-test-only";
const device = await testDevice(), reason = device ? await install("openai") : "there is no GPU";
if (reason !== undefined) console.log(`skipped: ${reason}`);

describe.skipIf(reason !== undefined)("OpenAI's client", () => {
  let s: Serving, openai: Client, connect: (apiKey: string) => Client;
  beforeAll(async () => {
    s = await serving({ slots: 2, queue: 2, embeddings: true }, { token, device });
    const module = join(import.meta.dir, "node_modules/openai/index.mjs");
    const { OpenAI } = await import(module) as { OpenAI: OpenAI };
    connect = (apiKey) => new OpenAI({ apiKey, baseURL: `${s.url}/v1`, maxRetries: 4 });
    openai = connect(token);
  });
  afterAll(() => s.stop());

  const messages = [{ role: "user", content: "water the beans" }];
  const asked = { model: "base", messages, max_completion_tokens: 60, temperature: 0 };

  test("models, and a key that is not the right one", async () => {
    expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(["base"]);
    const wrong = connect("sk-another").models.list().catch((error) => error);
    expect(await wrong).toMatchObject({ status: 401, code: "invalid_api_key" });
  });

  test("a conversation, whole and streamed, and left in the middle", async () => {
    const whole = await openai.chat.completions.create(asked) as Body;
    const { message, finish_reason } = whole.choices[0]!;
    expect([finish_reason, JSON.parse(message.content).type]).toEqual(["stop", "command"]);
    const stream = { ...asked, stream: true, stream_options: { include_usage: true } };
    let text = "", last: Body | undefined;
    for await (const chunk of await (openai.chat.completions.create as Stream)(stream)) {
      text += chunk.choices[0]?.delta.content ?? "";
      last = chunk;
    }
    expect(text).toBe(message.content);
    expect(last!.usage).toEqual(whole.usage);
    const left = await (openai.chat.completions.create as Stream)({
      ...stream,
      temperature: 2,
      max_completion_tokens: 200,
    });
    for await (const _ of left) break;
    left.controller.abort();
    await Bun.sleep(1000);
    expect(await s.metric("whet_slots_busy")).toBe(0);
  });

  test("an answer parsed by a JSON Schema", async () => {
    const schema = {
      type: "object",
      properties: { plant: { enum: ["beans", "peas"] }, minutes: { type: "integer" } },
      required: ["plant", "minutes"],
      additionalProperties: false,
    };
    const json_schema = { name: "watering", strict: true, schema };
    const { choices } = await openai.chat.completions.parse({
      ...asked,
      temperature: 2,
      response_format: { type: "json_schema", json_schema },
    });
    const { plant, minutes } = JSON.parse(choices[0]!.message.content);
    expect(schema.properties.plant.enum).toContain(plant);
    expect(Number.isInteger(minutes)).toBe(true);
  });

  test("completions, and embeddings in its own encoding", async () => {
    const prompt = { model: "base", prompt: ["Once", "Hi"], max_tokens: 5 };
    expect((await openai.completions.create(prompt) as Body).choices).toHaveLength(2);
    const input = { model: "base", input: ["water the beans", "a"] };
    // It asks for base64 unless told otherwise, and decodes it.
    const [coded, plain] = [
      await openai.embeddings.create(input),
      await openai.embeddings.create({ ...input, encoding_format: "float" }),
    ];
    expect(coded.data[0]!.embedding).toHaveLength(128);
    expect(coded.data.map((d) => [...d.embedding])).toEqual(
      plain.data.map((d) => d.embedding as number[]),
    );
  });

  test("its errors, and its patience where the queue is full", async () => {
    const refused = openai.chat.completions.create({ ...asked, tools: [{ type: "function" }] });
    expect(await (refused as Promise<Body>).catch((error) => error)).toMatchObject({
      status: 400,
      code: "unsupported_parameter",
      param: "tools",
    });
    // Five where four may be: one is refused, waits as it was told, and asks again.
    const five = Array.from({ length: 5 }, () => openai.chat.completions.create(asked));
    const answers = await Promise.all(five) as Body[];
    expect(new Set(answers.map(({ choices }) => choices[0]!.message.content)).size).toBe(1);
    expect(await s.metric('whet_requests_total{route="/v1/chat/completions",status="429"}'))
      .toBeGreaterThan(0);
  });
});
