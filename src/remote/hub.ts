/** The Hugging Face Hub as a client sees it: where it is, who asks, and requests that do not give up at once. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { excerpt } from "../base/text.ts";
import { addressOf, bodyOf, redact, waitOf } from "../base/web.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Hub {
  /** "https://huggingface.co/". */
  readonly url: URL;
  /** Never printed, never in a URL; sent to this host only. */
  readonly token: string;
  /** Milliseconds before the second attempt; each further one waits twice as long. */
  readonly patience?: number;
  /** Is told why something has to be tried again. */
  readonly onRetry?: (why: string) => void;
}

const ATTEMPTS = 6;
const LONGEST_WAIT = 60_000;
const LARGEST_ANSWER = 16 * 2 ** 20;
/** Bytes a second below which an upload counts as stuck. */
const SLOWEST = 16 * 2 ** 10;

/** The token as the Hub's own tools find it. */
function tokenOf(env: Environment): string | undefined {
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface");
  const file = env.HF_TOKEN_PATH ?? join(home, "token");
  const text = env.HF_TOKEN ?? (existsSync(file) ? readFileSync(file, "utf8") : "");
  return text.trim() || undefined;
}

/**
 * The Hub that the environment names: HF_ENDPOINT; HF_TOKEN, HF_TOKEN_PATH or $HF_HOME/token.
 *
 * @throws Fail where there is no token (authorisation), or nothing may be asked (network)
 */
export function hubOf(env: Environment, neverAsk = false): Hub {
  const offline = neverAsk
    ? "--offline"
    : ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].find((name) =>
      /^(1|true|yes|on)$/i.test(env[name] ?? "")
    );
  if (offline) {
    throw new Fail("the Hub may not be asked", {
      why: `${offline} is set`,
      fix: neverAsk ? "leave it out" : `unset ${offline}`,
      exit: Exit.network,
    });
  }
  const token = tokenOf(env);
  if (token === undefined) {
    throw new Fail("uploading needs a token of the Hub", {
      why: "HF_TOKEN is not set, and there is no token file",
      fix:
        "make one that may write at https://huggingface.co/settings/tokens, then export HF_TOKEN=…",
      exit: Exit.authorisation,
    });
  }
  return {
    url: addressOf(env.HF_ENDPOINT ?? "https://huggingface.co", "", "HF_ENDPOINT", token),
    token,
  };
}

export interface Ask {
  readonly method: "POST" | "PUT" | "GET";
  readonly body?: string | Blob;
  readonly headers?: Readonly<Record<string, string>>;
  /** Statuses that are answers too. */
  readonly also?: readonly number[];
  /** For messages: "create the repository". */
  readonly to: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A storage server says no: its address may have run out, and another one may be asked for. */
export class Refused extends Error {}

/**
 * Asks until there is an answer: cut connections, 408, 429 and 5xx are tried again, with the pauses that
 * the server asks for. The token goes to the Hub's own host only. Redirects are not followed.
 *
 * @throws Fail (authorisation) for 401 and 403 of the Hub, (network) for other refusals and where nothing
 *   helps; Refused for those of another host
 */
export async function ask(hub: Hub, url: URL, request: Ask): Promise<Answer> {
  const { method, body, headers, also = [], to } = request;
  const own = url.origin === hub.url.origin;
  const clean = (text: string) => excerpt(redact(text, [hub.token]), 300);
  const size = body instanceof Blob ? body.size : 0;
  let last = "", pause = 0;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (last) hub.onRetry?.(`${url.host}: ${last}; again in ${Math.ceil(pause / 1000)} s`);
    await Bun.sleep(pause);
    pause = (hub.patience ?? 1000) * 2 ** attempt;
    let answer: Answer;
    try {
      const response = await fetch(url, {
        method,
        body,
        headers: { ...headers, ...own && { authorization: `Bearer ${hub.token}` } },
        redirect: "manual",
        signal: AbortSignal.timeout(60_000 + 1000 * size / SLOWEST),
      });
      const text = await bodyOf(response, LARGEST_ANSWER);
      answer = { status: response.status, headers: response.headers, text };
    } catch (error) {
      last = clean(String((error as Error).message));
      continue;
    }
    const { status } = answer;
    if ((status >= 200 && status < 300) || also.includes(status)) return answer;
    const said = clean(messageOf(answer));
    if (status === 408 || status === 429 || status >= 500) {
      last = `${status} ${said}`;
      pause = Math.min(LONGEST_WAIT, waitOf(answer.headers) ?? pause);
      continue;
    }
    if (!own) throw new Refused(`${url.host}: ${status} ${said}`);
    const denied = status === 401 || status === 403;
    throw new Fail(`${url.host} refused to ${to}: ${status}`, {
      why: said || undefined,
      fix: denied
        ? "check that the token may write there: https://huggingface.co/settings/tokens"
        : status >= 300 && status < 400
        ? "the repository has another name now"
        : "see the message above",
      exit: denied ? Exit.authorisation : Exit.network,
    });
  }
  throw new Fail(`could not ${to}: ${url.host} does not answer as it should`, {
    why: `${ATTEMPTS} attempts, the last: ${last}`,
    fix: "run the same command again: what has arrived is not sent twice",
    exit: Exit.network,
  });
}

/** What the server says about its error. */
function messageOf({ headers, text }: Answer): string {
  const header = headers.get("x-error-message");
  if (header) return header;
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown };
    return String(error ?? message ?? text);
  } catch {
    return text;
  }
}
