/** A server with the shapes of Phoenix's REST API, which misbehaves on demand. */

/** What to do with one request; by default it answers well. */
export type Behaviour =
  | "good"
  | "401"
  | "429"
  | "429 date"
  | "500"
  | "redirect"
  | "html"
  | "not json"
  | "slow"
  | "echo key";

export interface MockSpan {
  readonly context: { readonly span_id: string; readonly trace_id: string };
  readonly start_time: string;
}

export interface MockProject {
  readonly spans: readonly MockSpan[];
  readonly annotations?: readonly { readonly span_id: string }[];
  readonly traceAnnotations?: readonly { readonly trace_id: string }[];
}

export interface Seen {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Record<string, string>;
}

export interface MockPhoenix extends Disposable {
  readonly url: string;
  readonly seen: Seen[];
  projects: Record<string, MockProject>;
  configs: readonly unknown[];
  /** What was noted on documents, by the span's own name at the server. */
  documents: Record<string, readonly unknown[]>;
}

/**
 * @param behave what becomes of the n-th request, from 1
 * @param key the only key that is let in
 */
export function mockPhoenix(
  projects: Record<string, MockProject>,
  behave: (n: number, path: string) => Behaviour = () => "good",
  { key, elsewhere, old = false }: { key?: string; elsewhere?: string; old?: boolean } = {},
): MockPhoenix {
  const seen: Seen[] = [];
  const json = (value: unknown, init?: ResponseInit) =>
    Response.json(value, { headers: { "x-phoenix-server-version": "20.3.0" }, ...init });
  /** A page as the server makes one: the cursor is opaque, the default size small. */
  const page = (all: readonly unknown[], query: URLSearchParams, size: number, most: number) => {
    const limit = Math.min(most, Number(query.get("limit") ?? size));
    const from = Number(atob(query.get("cursor") ?? "") || 0);
    const next = from + limit < all.length ? btoa(String(from + limit)) : null;
    return json({ data: all.slice(from, from + limit), next_cursor: next });
  };
  const mock = {
    projects,
    configs: [] as readonly unknown[],
    documents: {} as Record<string, readonly unknown[]>,
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname: path, searchParams: query } = new URL(request.url);
      const headers = Object.fromEntries(request.headers);
      seen.push({ path, query, headers });
      switch (behave(seen.length, path)) {
        case "401":
          return new Response("Invalid token", { status: 401 });
        case "429":
          return new Response("slow down", { status: 429, headers: { "retry-after": "0.05" } });
        case "429 date": {
          const at = new Date(Date.now() + 500).toUTCString();
          return new Response("slow down", { status: 429, headers: { "retry-after": at } });
        }
        case "500":
          return new Response("Internal Server Error", { status: 500 });
        case "redirect":
          return Response.redirect(`${elsewhere}${path}`, 307);
        case "html":
          return new Response("<html><body>Sign in</body></html>");
        case "not json":
          return new Response('{"data": [');
        case "slow":
          await Bun.sleep(2000);
          return json({ data: [] });
        case "echo key":
          return new Response(`bad: ${headers.authorization}`, { status: 422 });
      }
      if (key !== undefined && headers.authorization !== `Bearer ${key}`) {
        return new Response("Invalid token", { status: 401 });
      }
      if (path === "/v1/projects") {
        const all = Object.keys(mock.projects).map((name) => ({
          id: btoa(`Project:${name}`),
          name,
        }));
        return page(all, query, 100, 100);
      }
      if (path === "/v1/annotation_configs" && !old) return page(mock.configs, query, 100, 1000);
      if (path === "/graphql" && request.method === "POST") {
        const { query: text } = await request.json() as { query: string };
        if (old) return json({ data: null, errors: [{ message: "Cannot query field" }] });
        const nodes = [...text.matchAll(/(\w+): node\(id: "([^"]+)"\)/g)];
        const data = nodes.map(([, alias, id]) => [
          alias,
          { documentEvaluations: mock.documents[id!] ?? [] },
        ]);
        return json({ data: Object.fromEntries(data) });
      }
      const [, name, what] = /^\/v1\/projects\/([^/]+)\/(\w+)$/.exec(path) ?? [];
      const project = mock.projects[decodeURIComponent(name ?? "")];
      if (!project) return json({ detail: `Project with ID ${name} not found` }, { status: 404 });
      if (what === "spans") {
        const [from, to] = [query.get("start_time"), query.get("end_time")];
        const spans = project.spans.filter(({ start_time: at }) =>
          (!from || Date.parse(at) >= Date.parse(from)) && (!to || Date.parse(at) < Date.parse(to))
        ).toSorted((a, b) => b.start_time.localeCompare(a.start_time));
        return page(spans, query, 100, 1000);
      }
      if (what === "span_annotations") {
        const ids = query.getAll("span_ids");
        if (ids.length === 0) return json({ detail: "span_ids is required" }, { status: 422 });
        if (request.url.length > 8000) return new Response("URI too long", { status: 414 });
        const found = project.annotations?.filter(({ span_id }) => ids.includes(span_id)) ?? [];
        return page(found, query, 10, 10_000);
      }
      if (what === "trace_annotations" && !old) {
        const ids = query.getAll("trace_ids");
        const found = project.traceAnnotations?.filter((one) => ids.includes(one.trace_id)) ?? [];
        return page(found, query, 10, 10_000);
      }
      return json({ detail: "Not Found" }, { status: 404 });
    },
  });
  const url = `http://127.0.0.1:${server.port}`;
  return Object.assign(mock, { url, seen, [Symbol.dispose]: () => void server.stop(true) });
}

/** A span of the routing agent, as the REST API gives it. */
export function routed(n: number, more: Record<string, unknown> = {}) {
  const hex = (n + 1).toString(16).padStart(16, "0");
  return {
    id: btoa(`Span:${n}`),
    name: "routing_agent.route",
    context: { trace_id: hex.padStart(32, "0"), span_id: hex },
    span_kind: "AGENT",
    parent_id: null,
    start_time: new Date(Date.UTC(2026, 10, 1, 0, n)).toISOString(),
    end_time: new Date(Date.UTC(2026, 10, 1, 0, n, 1)).toISOString(),
    status_code: "OK",
    status_message: "",
    attributes: { "input.value": `question ${n}`, "output.value": `agent_${n % 4}` },
    events: [],
    ...more,
  };
}

/** An annotation of a span, as the REST API gives it. */
export function judgement(
  span: { readonly context: { readonly span_id: string } },
  label: string | undefined,
  score: number | undefined,
  more: Record<string, unknown> = {},
) {
  const { span_id } = span.context;
  return {
    id: btoa(`SpanAnnotation:${span_id}:${label}:${Object.values(more)[0] ?? ""}`),
    span_id,
    name: "human_approval",
    annotator_kind: "HUMAN",
    result: { label: label ?? null, score: score ?? null, explanation: null },
    metadata: {},
    identifier: "",
    source: "API",
    user_id: null,
    created_at: "2026-11-02T10:00:00+00:00",
    updated_at: "2026-11-02T10:00:00+00:00",
    ...more,
  };
}

/** Stands before a server and cuts the first connection in the middle of its answer. */
export function cutting(behind: MockPhoenix): { readonly url: string } & Disposable {
  let connections = 0;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      async data(socket, bytes) {
        if (++connections === 1) {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data": [');
          return void socket.end();
        }
        const path = bytes.toString().split(" ", 2)[1]!;
        const body = await (await fetch(behind.url + path)).text();
        const head = `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
        socket.write(`${head}Connection: close\r\n\r\n${body}`);
        socket.end();
      },
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}
