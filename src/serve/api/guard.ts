import { same } from "../local.ts";
import { ApiError } from "./errors.ts";

/** Who may ask. */
export interface Guard {
  /** As it is listened on. */
  readonly host: string;
  readonly port: number;
  /** What a client must send as a bearer; undefined: nothing, which only the loopback interface allows. */
  readonly token?: string;
  /** Origins of foreign pages that may ask; "*" is any. */
  readonly origins: readonly string[];
  /** Further names under which this machine is known. */
  readonly names: readonly string[];
}

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/i;

/** Whether only programs of this machine can reach what listens there. */
export const isLoopback = (host: string): boolean =>
  /^127(\.\d{1,3}){3}$/.test(host) || ["localhost", "::1", "[::1]"].includes(host);

/** The name in a Host header or an authority, without its port. */
const nameOf = (authority: string) => authority.replace(/:\d+$/, "").toLowerCase();

/**
 * Whether this server is meant by a name. A page whose own name was made to resolve to this machine sends
 * that name (DNS rebinding); an address cannot be rebound, so that where the server is meant to be
 * reached from outside any address will do.
 */
function meant(guard: Guard, authority: string): boolean {
  const name = nameOf(authority), at = /:(\d+)$/.exec(authority)?.[1];
  if (guard.names.includes(name)) return true; // behind another server the port is not ours
  if (isLoopback(guard.host) && at !== String(guard.port)) return false;
  if ([...LOOPBACK, guard.host.toLowerCase()].includes(name)) return true;
  return !isLoopback(guard.host) && ADDRESS.test(name);
}

/**
 * Refuses what is not meant for this server, or comes from a page that may not ask.
 * @throws ApiError (421) (403)
 */
export function checkSender(headers: Headers, guard: Guard): void {
  const host = headers.get("host"), origin = headers.get("origin");
  if (host === null || !meant(guard, host)) {
    throw new ApiError(421, "this server is not known by that name", "unknown_host");
  }
  if (origin === null || allowedOrigin(origin, guard)) return;
  const own = /^https?:\/\/(.+)$/.exec(origin)?.[1];
  // Its own page: the same name and port that were asked.
  if (own !== undefined && own.toLowerCase() === host.toLowerCase()) return;
  throw new ApiError(403, "pages of other origins may not ask this server", "origin_not_allowed");
}

/** Whether a foreign page may ask. */
export const allowedOrigin = (origin: string, { origins }: Guard): boolean =>
  origins.includes("*") || origins.includes(origin);

/** @throws ApiError (401) without the token that the server wants */
export function checkToken(headers: Headers, { token }: Guard): void {
  if (token === undefined) return;
  const sent = /^Bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (sent !== undefined && same(sent.trim(), token)) return;
  throw new ApiError(
    401,
    sent === undefined
      ? "this server wants a token: Authorization: Bearer TOKEN"
      : "the token is not the right one",
    "invalid_api_key",
    undefined,
    { "www-authenticate": "Bearer" },
  );
}

/** What a browser must be told where a foreign page may ask. */
export function corsHeaders(request: Request, guard: Guard): Record<string, string> {
  const origin = request.headers.get("origin");
  if (origin === null || !allowedOrigin(origin, guard)) return {};
  const asked = request.headers.get("access-control-request-headers");
  return {
    "access-control-allow-origin": origin,
    "access-control-expose-headers": "x-request-id, whet-prompt, retry-after",
    vary: "Origin",
    ...(request.method === "OPTIONS"
      ? {
        "access-control-allow-methods": "GET, POST",
        "access-control-max-age": "600",
        ...(asked ? { "access-control-allow-headers": asked } : {}),
      }
      : {}),
  };
}
