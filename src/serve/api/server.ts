import { Exit, Fail } from "../../base/fail.ts";
import type { Generator } from "../../generate/generator.ts";
import { CAREFUL } from "../local.ts";
import { answer, embeddings, type House } from "./answers.ts";
import { readChat, readCompletion, readEmbedding } from "./asked.ts";
import { ApiError, apiError, errorResponse } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { checkSender, checkToken, corsHeaders, type Guard } from "./guard.ts";
import { gauge } from "./metrics.ts";

/** One request that was answered, without anything that was said. */
export interface Record {
  readonly id: string;
  readonly route: string;
  readonly status: number;
  readonly milliseconds: number;
  readonly model?: string;
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
}

export interface ServerOptions {
  readonly house: House;
  readonly guard: Omit<Guard, "port">;
  readonly port: number;
  /** The page at /. */
  readonly page: () => Response;
  /** Bytes on the device. */
  readonly deviceBytes: () => number;
  /** Told of every request that was answered. */
  readonly told?: (record: Record) => void;
  /** Told of what is a defect. */
  readonly defect?: (error: unknown) => void;
}

/** A server that listens. */
export interface ApiServer {
  readonly url: string;
  readonly port: number;
  /** Requests under way. */
  readonly busy: number;
  /**
   * Takes nothing new, gives what is under way so many milliseconds, then ends it.
   * @returns how many requests were cut short
   */
  stop(grace: number): Promise<number>;
}

/** Seconds a connection may be silent while nothing of it is being answered. */
const IDLE = 30;
/** Milliseconds in which a body must be there. */
const BODY = 20_000;

interface Asking {
  readonly request: Request;
  readonly exchange: Exchange;
  /** @throws ApiError (400) (408) (413) (415) */
  readonly body: () => Promise<unknown>;
}

interface Route {
  readonly method: "GET" | "POST";
  /** Whether anybody who reaches the server may ask: only for what says nothing and does nothing. */
  readonly auth: "open" | "token";
  readonly handle: (asking: Asking) => Response | Promise<Response>;
}

/** By path. */
export const routesOf = (
  options: ServerOptions,
  state: () => string,
): { readonly [path: string]: Route } => {
  const { house } = options;
  const generating = (read: typeof readChat): Route => ({
    method: "POST",
    auth: "token",
    handle: async ({ body, exchange }) => answer(house, read(await body()), exchange),
  });
  return {
    "/": { method: "GET", auth: "open", handle: () => options.page() },
    "/health": {
      method: "GET",
      auth: "open",
      handle: () =>
        Response.json({ status: state() }, {
          status: state() === "ok" ? 200 : 503,
          headers: CAREFUL,
        }),
    },
    "/metrics": {
      method: "GET",
      auth: "token",
      handle: () =>
        new Response(metricsText(options), {
          headers: { ...CAREFUL, "content-type": "text/plain; version=0.0.4; charset=utf-8" },
        }),
    },
    "/v1/models": {
      method: "GET",
      auth: "token",
      handle: () => Response.json({ object: "list", data: modelList(house) }, { headers: CAREFUL }),
    },
    "/v1/chat/completions": generating(readChat),
    "/v1/completions": generating(readCompletion),
    "/v1/embeddings": {
      method: "POST",
      auth: "token",
      handle: async ({ body, exchange }) =>
        embeddings(house, readEmbedding(await body()), exchange),
    },
  };
};

const started = Math.floor(Date.now() / 1000);

const modelList = ({ models }: House) =>
  [...models.values()].map(({ name, parent, context, generator, template }) => ({
    id: name,
    object: "model",
    created: started,
    owned_by: "whet",
    ...(parent === undefined ? {} : { parent }),
    max_model_len: context,
    chat: generator !== undefined && template !== undefined,
  }));

function metricsText({ house, deviceBytes }: ServerOptions): string {
  const of = (value: (generator: Generator) => number) =>
    [...house.models.values()].flatMap(({ name, generator }) =>
      generator ? [[{ model: name }, value(generator)] as const] : []
    );
  return house.metrics.text() +
    gauge("whet_waiting", "Answers that wait for a slot", of(({ waiting }) => waiting)) +
    gauge("whet_slots_busy", "Answers being made", of(({ running }) => running)) +
    gauge("whet_slots", "Answers that can be made side by side", of(({ size }) => size.slots)) +
    gauge("whet_device_bytes", "Memory of the GPU in use", [[{}, deviceBytes()]]) +
    gauge("whet_resident_bytes", "Memory of the process", [[{}, process.memoryUsage.rss()]]);
}

/**
 * Serves models by OpenAI's API.
 * @throws Fail (usage) where the port is taken or the host is none of this machine's
 */
export function openServer(options: ServerOptions): ApiServer {
  const { house, port: wanted } = options, { metrics, limits } = house;
  let stopping = false;
  const under = new Set<Exchange>();
  const routes = routesOf(options, () => stopping ? "stopping" : "ok");

  const handle = async (request: Request, server: Bun.Server<undefined>): Promise<Response> => {
    const guard: Guard = { ...options.guard, port: server.port! };
    const exchange = new Exchange(request.signal, limits.seconds);
    const { pathname } = new URL(request.url);
    const route = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
    const name = route ? pathname : "other";
    let status = 500, response: Response | undefined;
    under.add(exchange);
    const done = () => {
      under.delete(exchange);
      const left = exchange.ended === "left";
      if (left) metrics.left.add();
      const ended = left ? 499 : exchange.failed ?? status;
      metrics.requests.add(1, { route: name, status: String(ended) });
      if (route?.method === "POST" && ended === 200) metrics.whole.observe(exchange.seconds);
      options.told?.({
        id: exchange.id,
        route: name,
        status: ended,
        milliseconds: Math.round(exchange.seconds * 1000),
        ...(exchange.model === undefined ? {} : {
          model: exchange.model,
          prompt_tokens: exchange.promptTokens,
          completion_tokens: exchange.answerTokens,
        }),
      });
    };
    exchange.whole.then(done);
    try {
      checkSender(request.headers, guard);
      if (request.method === "OPTIONS" && request.headers.has("origin")) {
        response = new Response(null, { status: 204 });
      } else if (!route) {
        throw new ApiError(404, `there is no ${pathname.slice(0, 80)}`, "unknown_url");
      } else {
        if (request.method !== route.method) {
          throw new ApiError(
            405,
            `${pathname} takes ${route.method}`,
            "method_not_allowed",
            undefined,
            { allow: route.method },
          );
        }
        if (route.auth === "token") checkToken(request.headers, guard);
        if (stopping && pathname !== "/health") exchange.end("stopping");
        exchange.check();
        const body = async () => {
          const value = await readBody(request, limits.body);
          server.timeout(request, 0); // from here on the exchange has a clock of its own
          return value;
        };
        response = await route.handle({ request, exchange, body });
      }
    } catch (error) {
      if (!(error instanceof Fail || error instanceof ApiError)) options.defect?.(error);
      response = errorResponse(apiError(error));
    }
    status = response.status;
    response.headers.set("x-request-id", exchange.id);
    for (const [key, value] of Object.entries(corsHeaders(request, guard))) {
      response.headers.set(key, value);
    }
    // A stream says itself when it is over.
    const streams = response.headers.get("content-type")?.startsWith("text/event-stream");
    if (!streams) exchange.finish();
    return response;
  };

  const server = listen(options.guard.host, wanted, limits.body, handle);
  return {
    url: `http://${shownHost(options.guard.host)}:${server.port}`,
    port: server.port!,
    get busy() {
      return under.size;
    },
    async stop(grace) {
      stopping = true;
      const closed = server.stop();
      const idle = Promise.all([...under].map(({ whole }) => whole));
      await Promise.race([idle, Bun.sleep(grace)]);
      const cut = [...under];
      for (const exchange of cut) exchange.end("stopping");
      await Promise.race([Promise.all(cut.map(({ whole }) => whole)), Bun.sleep(1000)]);
      await Promise.race([closed, Bun.sleep(100)]); // what was written last is on its way
      await server.stop(true);
      return cut.length;
    },
  };
}

const shownHost = (host: string) =>
  host === "0.0.0.0"
    ? "127.0.0.1"
    : host.includes(":") && !host.startsWith("[")
    ? `[${host}]`
    : host;

function listen(
  hostname: string,
  port: number,
  body: number,
  fetch: (request: Request, server: Bun.Server<undefined>) => Promise<Response>,
): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname,
      port,
      idleTimeout: IDLE,
      maxRequestBodySize: 2 * body,
      fetch,
      error: (error) => errorResponse(apiError(error)),
    });
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
    throw new Fail(
      taken ? `port ${port} is taken` : `cannot listen on ${hostname}, port ${port}`,
      {
        why: taken ? undefined : error instanceof Error ? error.message : String(error),
        fix: "another --port, or --port 0 to take a free one",
        exit: Exit.usage,
        cause: error,
      },
    );
  }
}

/** What is still to come of a body is not waited for. */
const CLOSE = { connection: "close" };

/** A body as JSON. @throws ApiError (400) (408) (413) (415) */
async function readBody(request: Request, most: number): Promise<unknown> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiError(415, "send application/json", "unsupported_media_type");
  }
  const large = () =>
    new ApiError(413, `the body is larger than ${most} bytes`, "body_too_large", undefined, CLOSE);
  if (Number(request.headers.get("content-length") ?? 0) > most) throw large();
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = request.body?.getReader();
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => {});
  const timer = setTimeout(
    () =>
      late.reject(
        new ApiError(408, "the body did not come in time", "body_timeout", undefined, CLOSE),
      ),
    BODY,
  );
  try {
    for (;;) {
      const { value, done } = await Promise.race([
        reader ? reader.read() : { value: undefined, done: true },
        late.promise,
      ]);
      if (done) break;
      size += value!.length;
      if (size > most) throw large();
      parts.push(value!);
    }
  } finally {
    clearTimeout(timer);
  }
  const invalid = (why: string) => new ApiError(400, `the body is ${why}`, "invalid_json");
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
    if (tooDeep(text)) throw invalid("nested too deep");
    return JSON.parse(text);
  } catch (error) {
    throw error instanceof ApiError ? error : invalid("not valid JSON");
  }
}

/** Nested objects and lists that no honest request needs, and that readers would run out of stack with. */
const DEEPEST = 100;

function tooDeep(text: string): boolean {
  let depth = 0;
  for (const [found] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{[]|[}\]]/gs)) {
    if (found[0] === '"') continue;
    depth += found === "{" || found === "[" ? 1 : -1;
    if (depth > DEEPEST) return true;
  }
  return false;
}
