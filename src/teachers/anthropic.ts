import { addressOf, type Endpoint, keyOf, post, secretsOf } from "./http.ts";
import { type Call, type Teacher, TryAgain } from "./teacher.ts";

/** The model that writes where none is named. */
export const DEFAULT_MODEL = "claude-opus-4-5";

/**
 * The Messages API of Anthropic (POST /v1/messages, version 2023-06-01). The key is ANTHROPIC_API_KEY, the
 * address ANTHROPIC_BASE_URL where it is another one.
 * @throws Fail (authorisation) without a key
 */
export function anthropicTeacher(
  model: string,
  env: Readonly<Record<string, string | undefined>>,
): Teacher<Call> {
  const name = `anthropic:${model}`;
  const key = keyOf(env, "ANTHROPIC_API_KEY", name);
  const base = env.ANTHROPIC_BASE_URL?.trim() || "https://api.anthropic.com";
  const endpoint: Endpoint = {
    url: addressOf(base.replace(/\/v1\/*$/, ""), "v1/messages", "ANTHROPIC_BASE_URL", key),
    headers: { "x-api-key": key, "anthropic-version": "2023-06-01" },
    secrets: secretsOf(key),
    variable: "ANTHROPIC_API_KEY",
  };
  return {
    name,
    paid: true,
    async ask({ prompt }, maxTokens, signal) {
      const answer = await post(endpoint, {
        model,
        max_tokens: maxTokens,
        messages: [{ role: "user", content: prompt }],
      }, signal) as {
        content?: { type?: unknown; text?: unknown }[];
        usage?: Record<string, unknown>;
      } | null;
      if (!Array.isArray(answer?.content)) {
        throw new TryAgain(`${endpoint.url.host}: an answer without content`, undefined, true);
      }
      const text = answer.content.map((part) => part?.type === "text" ? String(part.text) : "");
      const count = (key: string) => Number(answer.usage?.[key] ?? 0) || 0;
      const input = count("input_tokens") + count("cache_creation_input_tokens") +
        count("cache_read_input_tokens");
      return {
        text: text.join(""),
        ...(input > 0 ? { usage: { input, output: count("output_tokens") } } : {}),
      };
    },
  };
}
