import { addressOf, type Endpoint, keyOf, post, secretsOf } from "./http.ts";
import { type Call, type Teacher, TryAgain } from "./teacher.ts";

const OPENAI = "https://api.openai.com/v1";

/**
 * Any endpoint that speaks OpenAI's Chat Completions (POST /chat/completions): OpenAI's own, vLLM,
 * llama.cpp, Ollama. The key is OPENAI_API_KEY, the address OPENAI_BASE_URL; a server of one's own needs
 * no key.
 * @throws Fail (authorisation) without a key for OpenAI's own
 */
export function openaiTeacher(
  model: string,
  env: Readonly<Record<string, string | undefined>>,
): Teacher<Call> {
  const name = `openai:${model}`;
  const base = env.OPENAI_BASE_URL?.trim() || OPENAI;
  const own = URL.parse(base)?.hostname === "api.openai.com";
  const key = own ? keyOf(env, "OPENAI_API_KEY", name) : env.OPENAI_API_KEY?.trim() || undefined;
  const endpoint: Endpoint = {
    url: addressOf(base, "chat/completions", "OPENAI_BASE_URL", key),
    headers: key ? { authorization: `Bearer ${key}` } : {},
    secrets: secretsOf(key),
    variable: "OPENAI_API_KEY",
  };
  // OpenAI's newer models refuse max_tokens, and many other servers know nothing else.
  const limit = own ? "max_completion_tokens" : "max_tokens";
  return {
    name,
    paid: true,
    async ask({ prompt }, maxTokens, signal) {
      const answer = await post(endpoint, {
        model,
        [limit]: maxTokens,
        messages: [{ role: "user", content: prompt }],
      }, signal) as {
        choices?: { message?: { content?: unknown } }[];
        usage?: { prompt_tokens?: unknown; completion_tokens?: unknown };
      } | null;
      const message = answer?.choices?.[0]?.message;
      if (!message) {
        throw new TryAgain(`${endpoint.url.host}: an answer without choices`, undefined, true);
      }
      const input = Number(answer?.usage?.prompt_tokens ?? 0) || 0;
      const output = Number(answer?.usage?.completion_tokens ?? 0) || 0;
      return {
        text: typeof message.content === "string" ? message.content : "",
        ...(input > 0 ? { usage: { input, output } } : {}),
      };
    },
  };
}
