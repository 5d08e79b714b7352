import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { escape } from "../report/svg.ts";
import client from "./dashboard_client.js" with { type: "text" };
import look from "./dashboard.css" with { type: "text" };
import { addressOf, CAREFUL, type Door, newToken, onePage, plain, refusal } from "./local.ts";

/** A live page of one run, on this machine only. */
export interface Dashboard {
  /** With the token that lets a browser in. */
  readonly url: string;
  /** Tells every open page that metrics.jsonl has grown. Returns at once; a slow page is let go. */
  grown(): void;
  /** Lets every page read what is left to tell, at most a second long. */
  close(): Promise<void>;
}

/** Bytes that may wait for one page, and bytes read at once. */
const ROOM = 2 ** 20, CHUNK = 2 ** 18;

/**
 * Serves the page of a run folder on the loopback interface. It shows what stands in run.json and
 * metrics.jsonl, so it costs the training nothing but the telling that there is more. Address and token
 * are kept in the folder: a page that was open before a restart finds the run again.
 * @param port 0 takes the one used before, or any free one
 * @throws Fail (usage) where the port is taken
 */
export async function openDashboard(folder: string, port = 0): Promise<Dashboard> {
  const file = join(folder, ".ui.json"), before = doorOf(file);
  const token = before?.token ?? newToken();
  const pages = new Set<Page>();
  const serve = (at: number) =>
    Bun.serve({
      hostname: "127.0.0.1",
      port: at,
      idleTimeout: 0,
      fetch: (request, { port }) => answer(request, { folder, token, port: port!, pages }),
    });
  let server: Bun.Server<undefined>;
  try {
    server = serve(port || before?.port || 0);
  } catch (error) {
    if (port !== 0) {
      throw new Fail(`port ${port} is taken`, {
        fix: "another --ui-port, or none to take a free one",
        exit: Exit.usage,
        cause: error,
      });
    }
    server = serve(0);
  }
  const door: Door = { port: server.port!, token };
  await writeFile(file, JSON.stringify(door) + "\n");
  // A page that nobody tells of an end would wait for ever: its connection is kept alive.
  const alive = setInterval(() => pages.forEach((page) => page.alive()), 15_000);
  alive.unref();
  return {
    url: addressOf(door),
    grown: () => pages.forEach((page) => page.send()),
    async close() {
      clearInterval(alive);
      for (const page of pages) page.close();
      pages.clear();
      await Promise.race([server.stop(), Bun.sleep(1000)]);
      await server.stop(true);
    },
  };
}

function doorOf(file: string): Door | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const { port, token } = JSON.parse(readFileSync(file, "utf8"));
    const whole = Number.isInteger(port) && port > 0 && port < 65536;
    return whole && typeof token === "string" && token.length >= 16 ? { port, token } : undefined;
  } catch {
    return undefined;
  }
}

interface House extends Door {
  readonly folder: string;
  readonly pages: Set<Page>;
}

function answer(request: Request, house: House): Response {
  const refused = refusal(request, house);
  if (refused) return refused;
  switch (new URL(request.url).pathname) {
    case "/":
      return page(house);
    case "/events":
      return events(request, house);
    default:
      return plain(404, "not here");
  }
}

function page({ folder }: House): Response {
  const name = folder.split(/[\\/]/).filter(Boolean).at(-1) ?? folder;
  const body = `<main>
<header><h1>${escape(name)}</h1><span class="badge" id="status">waiting</span></header>
<p class="sub" id="about"></p>
<div class="bar"><i id="bar"></i></div>
<div class="tiles" id="tiles"></div>
<h2>Curves</h2><div class="charts" id="charts"></div>
<div id="said"></div>
<h2 id="answers-head" hidden>Answers</h2><div id="answers"></div>
</main>`;
  return onePage({ title: name, look, body, client });
}

/** Server-sent events: run.json whenever it changes, and the lines of metrics.jsonl, each id a place in it. */
function events(request: Request, { folder, pages }: House): Response {
  const seen = Number(request.headers.get("last-event-id") ?? 0);
  const page = new Page(folder, Number.isSafeInteger(seen) && seen > 0 ? seen : 0);
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      page.controller = controller;
      pages.add(page);
    },
    pull: () => page.send(), // called as long as there is room: a slow browser holds only itself up
    cancel() {
      pages.delete(page);
    },
  }, new ByteLengthQueuingStrategy({ highWaterMark: ROOM }));
  return new Response(stream, { headers: { ...CAREFUL, "content-type": "text/event-stream" } });
}

/** What one browser has been told. */
class Page {
  readonly #encoder = new TextEncoder();
  controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #written = 0;

  /** @param at byte of metrics.jsonl up to which the browser knows all */
  constructor(private readonly folder: string, private at: number) {}

  /** Sends what is new in the folder, as far as there is room for it. */
  send(): void {
    const run = join(this.folder, "run.json"), log = join(this.folder, "metrics.jsonl");
    const { size, written } = facts(run);
    if (size > 0 && written !== this.#written && this.#push("")) {
      this.#written = written;
      const manifest = read(run, 0, size);
      this.#push(`event: run\ndata: ${manifest.replaceAll("\n", "")}\n\n`);
    }
    const end = facts(log).size;
    // A file shorter than what was told is another run's: the page begins anew.
    if (end < this.at && this.#push("event: anew\ndata:\n\n")) this.at = 0;
    for (let most = CHUNK; this.at < end; most *= 2) {
      const text = read(log, this.at, Math.min(most, end - this.at));
      const whole = text.slice(0, text.lastIndexOf("\n") + 1);
      if (whole === "" && this.at + most < end) continue; // one line longer than that
      if (whole === "") return; // a line that is being written
      const next = this.at + Buffer.byteLength(whole);
      const lines = whole.split("\n").filter(Boolean).map((line) => `data: ${line}\n`);
      if (this.#push(`id: ${next}\n${lines.join("")}\n`)) this.at = next;
      return; // asked for more when this is on its way
    }
  }

  alive(): void {
    this.#push(":\n\n");
  }

  /** @returns whether there was room */
  #push(text: string): boolean {
    if (!this.controller || (this.controller.desiredSize ?? 0) <= 0) return false;
    if (text) this.controller.enqueue(this.#encoder.encode(text));
    return true;
  }

  close(): void {
    try {
      this.controller?.close();
    } catch {
      // the browser was faster
    }
    this.controller = undefined;
  }
}

/** Size in bytes and time of the last change; zeros where there is no such file. */
function facts(path: string): { size: number; written: number } {
  const stat = statSync(path, { throwIfNoEntry: false });
  return { size: stat?.size ?? 0, written: stat?.mtimeMs ?? 0 };
}

function read(path: string, from: number, bytes: number): string {
  const file = openSync(path, "r"), buffer = Buffer.alloc(bytes);
  try {
    return buffer.toString("utf8", 0, readSync(file, buffer, 0, bytes, from));
  } finally {
    closeSync(file);
  }
}
