import { Exit, Fail } from "../../base/fail.ts";
import { isObject } from "../../base/strict_json.ts";
import { excerpt } from "../../base/text.ts";
import { addressOf, bodyOf, redact, refused, secretsOf, TooLarge, waitOf } from "../../base/web.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** How hard a request is tried; times in milliseconds. */
export interface Patience {
  readonly retries: number;
  readonly timeout: number;
  /** Before the second try; doubled for each further one. */
  readonly wait: number;
  /** Told of every wait. */
  readonly onRetry?: (why: string, milliseconds: number) => void;
}

const LONGEST_WAIT = 120_000;

/** Largest answer that is read, bytes; beyond that a page is asked for again with half as many entries. */
const LARGEST = 64 * 2 ** 20;

/** The server has no such thing. */
export class Missing extends Error {}

/** A Phoenix server, and what may be shown of how it is reached. */
export interface Client {
  /** Without a key in it. */
  readonly address: string;
  /** One page's JSON. @throws Missing for a 404; Fail (network) (authorisation) */
  get(path: string, query?: readonly (readonly [string, string])[]): Promise<unknown>;
  /** What a query of GraphQL gives. @throws Missing where the server does not know its fields */
  query(text: string): Promise<unknown>;
  /** All entries of a list, page after page. */
  pages(
    path: string,
    query: readonly (readonly [string, string])[],
    size: number,
  ): AsyncGenerator<readonly unknown[]>;
}

/**
 * The address of the server: what was asked for, else PHOENIX_ENDPOINT, PHOENIX_COLLECTOR_ENDPOINT,
 * PHOENIX_HOST, else the one on this machine.
 */
export function endpointOf(env: Environment, asked?: string): { base: string; from: string } {
  if (asked) return { base: asked, from: "--endpoint" };
  if (env.PHOENIX_ENDPOINT) return { base: env.PHOENIX_ENDPOINT, from: "PHOENIX_ENDPOINT" };
  const collector = env.PHOENIX_COLLECTOR_ENDPOINT;
  if (collector) {
    return { base: collector.replace(/\/v1\/traces\/?$/, ""), from: "PHOENIX_COLLECTOR_ENDPOINT" };
  }
  const host = env.PHOENIX_HOST;
  if (host) {
    const whole = /^https?:\/\//.test(host);
    return {
      base: whole ? host : `http://${host}:${env.PHOENIX_PORT || 6006}`,
      from: "PHOENIX_HOST",
    };
  }
  return { base: "http://localhost:6006", from: "PHOENIX_ENDPOINT" };
}

/** Headers of PHOENIX_CLIENT_HEADERS: a JSON object, or k=v,k=v. @throws Fail (usage) */
function clientHeaders(text: string | undefined): Record<string, string> {
  if (!text?.trim()) return {};
  const refuse = () =>
    new Fail("PHOENIX_CLIENT_HEADERS cannot be read", {
      why: "a JSON object of texts is expected; its value is not shown here",
      fix: `export PHOENIX_CLIENT_HEADERS='{"name": "value"}'`,
      exit: Exit.usage,
    });
  let found: unknown;
  try {
    found = text.trim().startsWith("{") ? JSON.parse(text) : Object.fromEntries(
      text.split(",").map((part) => {
        const equals = part.indexOf("=");
        if (equals < 1) throw refuse();
        return [part.slice(0, equals), part.slice(equals + 1)].map((p) =>
          decodeURIComponent(p.trim())
        );
      }),
    );
    if (!isObject(found) || !Object.values(found).every((v) => typeof v === "string")) {
      throw refuse();
    }
    return Object.fromEntries(new Headers(found as Record<string, string>));
  } catch {
    throw refuse();
  }
}

/**
 * Opens a client. Keys are read from the environment only and leave it in headers only; redirects are
 * never followed, for they would take the key along.
 * @throws Fail (usage) for an address or headers that cannot be used
 */
export function connect(env: Environment, patience: Patience, asked?: string): Client {
  const { base, from } = endpointOf(env, asked);
  const key = env.PHOENIX_API_KEY?.trim() || undefined;
  const own = clientHeaders(env.PHOENIX_CLIENT_HEADERS);
  const headers = {
    ...(key ? { authorization: `Bearer ${key}` } : {}),
    ...own,
    accept: "application/json",
  };
  const secrets = [key, ...Object.values(own)].flatMap(secretsOf);
  const root = addressOf(base, "", from, key ?? Object.values(own)[0]);
  const ask = (path: string, query: readonly (readonly [string, string])[]) => {
    const url = new URL(path, root);
    for (const [name, value] of query) url.searchParams.append(name, value);
    return patiently(() => once(url, { headers }, secrets, patience.timeout), patience);
  };
  return {
    address: root.href.replace(/\/$/, ""),
    get: (path, query = []) => ask(path, query),
    async query(text) {
      const post = {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({ query: text }),
      };
      const url = new URL("graphql", root);
      const answer = await patiently(
        () => once(url, post, secrets, patience.timeout),
        patience,
      );
      const { data, errors } = isObject(answer) ? answer : {};
      if (isObject(data)) return data;
      throw new Missing(excerpt(JSON.stringify(errors) ?? "no data", 200));
    },
    async *pages(path, query, size) {
      const seen = new Set<string>();
      let cursor: string | undefined, most = size;
      for (;;) {
        const where: (readonly [string, string])[] = [...query, ["limit", String(most)]];
        if (cursor !== undefined) where.push(["cursor", cursor]);
        let page: unknown;
        try {
          page = await ask(path, where);
        } catch (error) {
          if (!(error instanceof TooLarge) || most === 1) throw error;
          most = Math.ceil(most / 2);
          continue;
        }
        const { data, next_cursor } = isObject(page) ? page : {};
        if (!Array.isArray(data)) {
          throw new Fail(`${root.host} does not answer as Phoenix does`, {
            why: `/${path} gave ${excerpt(JSON.stringify(page) ?? "nothing", 80)} without "data"`,
            fix: `check ${from}: it is the address of Phoenix itself, without a path`,
            exit: Exit.network,
          });
        }
        yield data;
        if (next_cursor === undefined || next_cursor === null || next_cursor === "") return;
        cursor = String(next_cursor);
        if (seen.has(cursor)) {
          throw new Fail(`${root.host} gives the same page again and again`, {
            why: `/${path} repeats the cursor of a page`,
            fix: "report it to whoever runs the server",
            exit: Exit.network,
          });
        }
        seen.add(cursor);
      }
    },
  };
}

/** A request that may succeed later. */
class Later extends Error {
  constructor(message: string, readonly after?: number) {
    super(message);
  }
}

async function patiently<T>(request: () => Promise<T>, patience: Patience): Promise<T> {
  for (let tries = 0;; tries++) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof Later)) throw error;
      const wait = error.after ?? patience.wait * 2 ** tries * (0.75 + Math.random() / 2);
      if (tries >= patience.retries || wait > LONGEST_WAIT) {
        throw new Fail(error.message, {
          why: wait > LONGEST_WAIT
            ? `it asks to wait ${Math.round(wait / 1000)} seconds`
            : `it stayed so over ${tries + 1} tries`,
          fix: "try again later; nothing was written",
          exit: Exit.network,
        });
      }
      patience.onRetry?.(error.message, wait);
      await Bun.sleep(wait);
    }
  }
}

async function once(
  url: URL,
  request: {
    readonly headers: Record<string, string>;
    readonly method?: string;
    readonly body?: string;
  },
  secrets: readonly string[],
  timeout: number,
): Promise<unknown> {
  const { host } = url, signal = AbortSignal.timeout(timeout);
  const clean = (text: string) => excerpt(redact(text, secrets), 300);
  let answer: Response, text: string;
  try {
    answer = await fetch(url, { ...request, redirect: "manual", signal });
    text = redact(await bodyOf(answer, LARGEST), secrets);
  } catch (error) {
    if (error instanceof TooLarge) throw error;
    if (refused(error)) {
      throw new Fail(`${host} cannot be reached`, {
        why: clean(String((error as Error).message)),
        fix: "start Phoenix there, or name another server: export PHOENIX_ENDPOINT=https://HOST",
        exit: Exit.network,
        cause: error,
      });
    }
    throw new Later(`${host}: ${signal.aborted ? "no answer in time" : clean(String(error))}`);
  }
  const { status } = answer;
  if (status >= 300 && status < 400) {
    const to = URL.parse(answer.headers.get("location") ?? "", url)?.host ?? "nowhere";
    throw new Fail(`${host} redirects to ${to}, which is not followed`, {
      why: "a redirect would take the key along",
      fix: "name the address that answers itself: export PHOENIX_ENDPOINT=https://HOST",
      exit: Exit.network,
    });
  }
  if (status === 401 || status === 403) {
    throw new Fail(`${host} refused the key with ${status}`, {
      why: clean(text) ||
        (request.headers.authorization ? undefined : "PHOENIX_API_KEY is not set"),
      fix: "export PHOENIX_API_KEY=… with a key of that server",
      exit: Exit.authorisation,
    });
  }
  if (status === 404) throw new Missing(clean(text));
  if (status === 408 || status === 429 || status >= 500) {
    throw new Later(`${host}: ${status} ${clean(text)}`.trim(), waitOf(answer.headers));
  }
  if (!answer.ok) {
    throw new Fail(`${host} refused with ${status}`, {
      why: clean(text) || undefined,
      fix: "see the message above; Phoenix 8 or newer is expected",
      exit: Exit.network,
    });
  }
  try {
    return JSON.parse(text);
  } catch {
    if (/^\s*</.test(text)) {
      throw new Fail(`${host} answers with a web page`, {
        why: `${url.pathname} gave ${clean(text).slice(0, 60)}`,
        fix: "name the address of Phoenix itself: export PHOENIX_ENDPOINT=https://HOST",
        exit: Exit.network,
      });
    }
    throw new Later(`${host}: an answer that is not JSON: ${clean(text)}`);
  }
}
