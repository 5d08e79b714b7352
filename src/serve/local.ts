/** What pages on this machine have in common: who may ask, and how carefully they are answered. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { escape } from "../report/svg.ts";
import { style } from "../report/style.ts";

/** Where a page is served, and what its visitors must know. */
export interface Door {
  readonly port: number;
  readonly token: string;
}

export const newToken = () => randomBytes(16).toString("base64url");

export const addressOf = ({ port, token }: Door) => `http://127.0.0.1:${port}/?token=${token}`;

export const CAREFUL = {
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cross-origin-resource-policy": "same-origin",
};

export const plain = (status: number, text: string) =>
  new Response(text + "\n", {
    status,
    headers: { ...CAREFUL, "content-type": "text/plain; charset=utf-8" },
  });

/**
 * The answer to a request that must not be served, or undefined.
 * @param changes whether there is something to change: POST, only from the page itself, as JSON
 */
export function refusal(request: Request, door: Door, changes = false): Response | undefined {
  const { headers, method } = request;
  const host = headers.get("host"), origin = headers.get("origin");
  // A foreign page that resolves its own name to this machine would send its own name as host.
  const own = [`127.0.0.1:${door.port}`, `localhost:${door.port}`];
  if (host === null || !own.includes(host)) return plain(421, "this page is served as 127.0.0.1");
  if (origin !== null && !own.some((o) => origin === `http://${o}`)) {
    return plain(403, "only this page may ask");
  }
  if (method !== "GET" && !(changes && method === "POST")) {
    return plain(405, changes ? "GET and POST only" : "there is nothing to change here");
  }
  // A form of another page cannot send this kind of content without being asked for its origin.
  if (method === "POST" && headers.get("content-type") !== "application/json") {
    return plain(415, "send application/json");
  }
  if (!same(new URL(request.url).searchParams.get("token") ?? "", door.token)) {
    return plain(401, "open the address that whet printed: it holds the token");
  }
  return undefined;
}

/** In constant time, whatever their lengths. */
export function same(a: string, b: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}

const sha = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** A page of one document: its look and its script stand in it, and nothing else may be loaded. */
export function onePage(
  page: { readonly title: string; readonly look: string; readonly body: string; client: string },
): Response {
  const { title, body, client } = page, css = style + page.look;
  const policy = `default-src 'none'; style-src ${sha(css)}; script-src ${sha(client)}; ` +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)} · whet</title>
<style>${css}</style>
</head>
<body>${body}<script>${client}</script></body>
</html>
`;
  return new Response(html, {
    headers: {
      ...CAREFUL,
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy,
    },
  });
}
