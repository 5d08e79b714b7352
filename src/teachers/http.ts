import { Exit, Fail } from "../base/fail.ts";
import { excerpt } from "../base/text.ts";
import { bodyOf, redact, refused, waitOf } from "../base/web.ts";
import { TryAgain } from "./teacher.ts";

export { addressOf, redact, secretsOf, waitOf } from "../base/web.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A place that answers, and the key for it. The key never leaves this file but in its header. */
export interface Endpoint {
  readonly url: URL;
  /** Header that carries the key. */
  readonly headers: Readonly<Record<string, string>>;
  /** Texts that must not appear anywhere else. */
  readonly secrets: readonly string[];
  /** The variable that holds the key, for messages. */
  readonly variable: string;
}

/** Longest body that is read, bytes. An endless one must not fill the memory. */
const LARGEST = 32 * 2 ** 20;

/** A key from the environment. @throws Fail (authorisation) naming the variable */
export function keyOf(env: Environment, variable: string, teacher: string): string {
  const key = env[variable]?.trim();
  if (key) return key;
  throw new Fail(`the teacher ${teacher} needs a key`, {
    why: `${variable} is not set; keys are read from the environment only`,
    fix: `export ${variable}=…, or do without: --teacher template, --emit-prompts DIR`,
    exit: Exit.authorisation,
  });
}

/**
 * Posts JSON once and reads the JSON that comes back. Redirects are not followed: some runtimes would
 * take the key along to another host.
 * @throws TryAgain for what may be better later (429, 5xx, time-outs, broken answers); Fail for the rest
 */
export async function post(
  { url, headers, secrets, variable }: Endpoint,
  body: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  const clean = (text: string) => excerpt(redact(text, secrets), 300);
  const { host } = url;
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(url, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json", accept: "application/json", ...headers },
      redirect: "manual",
      signal,
    });
    text = redact(await bodyOf(answer, LARGEST), secrets);
  } catch (error) {
    const why = signal.aborted ? "no answer in time" : clean(String((error as Error).message));
    // Whoever was still computing the answer may charge for it.
    throw new TryAgain(`${host}: ${why}`, undefined, !refused(error));
  }
  const { status } = answer;
  if (status >= 300 && status < 400) {
    const to = URL.parse(answer.headers.get("location") ?? "", url)?.host ?? "nowhere";
    throw new Fail(`${host} redirects to ${to}, which is not followed`, {
      why: "a redirect would take the key along",
      fix: "name the address that answers itself",
      exit: Exit.network,
    });
  }
  if (status === 408 || status === 409 || status === 429 || status >= 500) {
    throw new TryAgain(`${host}: ${status} ${clean(messageOf(text))}`, waitOf(answer.headers));
  }
  if (!answer.ok) {
    const denied = status === 401 || status === 403;
    throw new Fail(`${host} refused with ${status}`, {
      why: clean(messageOf(text)) || undefined,
      fix: denied
        ? `check ${variable}`
        : status === 404
        ? "check the model's name after the colon of --teacher, and the address"
        : "see the message above",
      exit: denied ? Exit.authorisation : Exit.network,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TryAgain(`${host}: an answer that is not JSON: ${clean(text)}`, undefined, true);
  }
  const failed = (value as { error?: unknown } | null)?.error;
  if (failed) throw new TryAgain(`${host}: 200 with an error: ${clean(messageOf(text))}`);
  return value;
}

/** What an API says about its error, in either of the usual shapes. */
function messageOf(text: string): string {
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown };
    const inner = (error as { message?: unknown } | null)?.message;
    return String(inner ?? message ?? (typeof error === "string" ? error : text));
  } catch {
    return text;
  }
}
