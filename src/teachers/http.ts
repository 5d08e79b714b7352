import { Exit, Fail } from "../base/fail.ts";
import { excerpt } from "../base/text.ts";
import { TryAgain } from "./teacher.ts";

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

/**
 * The address of an API below a base address.
 * @throws Fail (usage) for an address that would show the key: with a password in it, or http to elsewhere
 */
export function addressOf(base: string, path: string, variable: string, key?: string): URL {
  const url = URL.parse(base);
  const refuse = (why: string) =>
    new Fail(`${variable} is not an address that can be used`, {
      why,
      fix: `export ${variable}=https://HOST/…`,
      exit: Exit.usage,
    });
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw refuse("it must begin with https:// or http://");
  }
  if (url.username || url.password || url.search) {
    throw refuse("it holds a name, a password or a query, which could end up in messages");
  }
  const local = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === "http:" && !local && key) {
    throw refuse(`http to ${url.hostname} would send the key for everybody to read`);
  }
  return new URL(path, url.href.replace(/#.*$/, "").replace(/\/*$/, "/"));
}

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
 * What must not be seen of a key. Servers of one's own are given words such as "none" for keys; taking
 * those out of every text would spoil it.
 */
export function secretsOf(key: string | undefined): string[] {
  const value = key?.trim() ?? "";
  return value.length >= 12 ? [value] : [];
}

/** The text without any of the secrets. */
export function redact(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => clean.replaceAll(secret, "[key]"), text);
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
    text = redact(await bodyOf(answer), secrets);
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

/** Nobody was there to compute anything. */
function refused(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return ["ConnectionRefused", "ECONNREFUSED", "ENOTFOUND", "FailedToOpenSocket"].includes(
    String(code),
  );
}

async function bodyOf(answer: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of answer.body ?? []) {
    parts.push(part);
    if ((size += part.length) > LARGEST) throw new Error("an answer of more than 32 MiB");
  }
  return new TextDecoder().decode(Buffer.concat(parts));
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

/** Milliseconds to wait: retry-after-ms, or retry-after in seconds or as a date. */
export function waitOf(headers: Headers, now = Date.now()): number | undefined {
  const milliseconds = Number(headers.get("retry-after-ms") ?? NaN);
  if (milliseconds >= 0) return milliseconds;
  const after = headers.get("retry-after");
  if (after === null) return undefined;
  const seconds = Number(after);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(after) - now;
  return wait >= 0 ? wait : undefined;
}
