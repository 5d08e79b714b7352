import { Exit, Fail } from "./fail.ts";

/** What every client of a web service here has in common: which addresses it takes, and what it hides. */

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

/** Nobody was there to answer. */
export function refused(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return ["ConnectionRefused", "ECONNREFUSED", "ENOTFOUND", "FailedToOpenSocket"].includes(
    String(code),
  );
}

/** A body larger than its reader allows. */
export class TooLarge extends Error {}

/** The text of an answer. @throws TooLarge beyond `most` bytes: an endless one must not fill the memory */
export async function bodyOf(answer: Response, most: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of answer.body ?? []) {
    parts.push(part);
    if ((size += part.length) > most) throw new TooLarge(`an answer of more than ${most} bytes`);
  }
  return new TextDecoder().decode(Buffer.concat(parts));
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
