import { describe, expect, test } from "bun:test";
import { readChat, readCompletion, readEmbedding } from "./asked.ts";
import type { ApiError } from "./errors.ts";

const messages = [{ role: "user", content: "x" }];
const refusal = (read: () => unknown): [code: string, param: string | undefined] => {
  try {
    read();
  } catch (error) {
    return [(error as ApiError).code, (error as ApiError).param];
  }
  throw new Error("it was taken");
};

test("a conversation with everything that is done", () => {
  const { sampling, ...asked } = readChat({
    model: "m",
    messages: [
      { role: "developer", content: "Be kind." },
      { role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] },
      { role: "assistant", content: null },
    ],
    ...{ temperature: 0.5, top_p: 0.9, top_k: 5, min_p: 0.1, repetition_penalty: 1.1, seed: -1 },
    ...{ max_tokens: 5, max_completion_tokens: 7, n: 2, stop: ["a", ""], stream: true },
    stream_options: { include_usage: true },
    response_format: { type: "json_object" },
    chat_template_kwargs: { enable_thinking: false },
    ...{ user: "me", tools: [], logprobs: null },
  });
  expect(sampling).toEqual({
    ...{ temperature: 0.5, topP: 0.9, topK: 5, minP: 0.1, repetitionPenalty: 1.1 },
    seed: 2 ** 32 - 1,
  });
  expect(asked).toEqual({
    model: "m",
    prompts: {
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "ab" },
        { role: "assistant", content: "" },
      ],
      variables: { enable_thinking: false },
    },
    ...{ maxTokens: 7, n: 2, stops: ["a"], stream: true, usage: true, free: false },
    form: { name: "json_object", schema: { type: "object" } },
  });
});

test("what is not said is left to the server", () => {
  expect(readChat({ messages, temperature: null, max_tokens: null })).toMatchObject({
    ...{ model: undefined, maxTokens: undefined, n: 1, stream: false, usage: false, stops: [] },
    ...{ sampling: {}, form: undefined, free: false },
  });
  expect(readChat({ messages, response_format: { type: "text" } }).free).toBe(true);
});

test("prompts and inputs are one or several, texts or ids", () => {
  for (const [given, list] of [["a", ["a"]], [["a", "b"], ["a", "b"]], [[1, 2], [[1, 2]]]]) {
    expect(readCompletion({ prompt: given }).prompts).toEqual(list as never);
    expect(readEmbedding({ input: given }).inputs).toEqual(list as never);
  }
  expect(refusal(() => readCompletion({ prompt: [1, "a"] }))[1]).toStartWith("prompt");
  expect(refusal(() => readEmbedding({ input: [] }))[1]).toBe("input");
});

test("a schema that would keep the server busy", () => {
  const schema = { enum: Array.from({ length: 20_000 }, (_, i) => i) };
  const response_format = { type: "json_schema", json_schema: { name: "x", schema } };
  const field = "response_format.json_schema.schema";
  expect(refusal(() => readChat({ messages, response_format }))).toEqual(["invalid_value", field]);
});
