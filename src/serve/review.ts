import { Exit, Fail } from "../base/fail.ts";
import { isObject } from "../base/strict_json.ts";
import { escape } from "../report/svg.ts";
import type { Act, Batch, Item } from "../data/review.ts";
import { folded, type SeenRow, unfolded } from "../data/review_row.ts";
import { addressOf, CAREFUL, type Door, newToken, onePage, plain, refusal } from "./local.ts";
import controls from "./controls.css" with { type: "text" };
import look from "./review.css" with { type: "text" };
import client from "./review_client.js" with { type: "text" };

/** A page on which a person reviews one batch, on this machine only. */
export interface ReviewPage {
  /** With the token that lets a browser in. */
  readonly url: string;
  /** Whether the person said on the page that they are done. */
  finished(): boolean;
  close(): Promise<void>;
}

/** Items in one answer; a request's bytes. */
const PAGE = 500, LONGEST = 32 * 2 ** 20;

/**
 * Serves the page of a batch on the loopback interface.
 * @param seen what a model sees of a row, and why it could not be trained
 * @throws Fail (usage) where the port is taken
 */
export function openReviewPage(
  batch: Batch,
  by: string,
  seen: (text: string) => SeenRow,
  port: number,
): ReviewPage {
  const token = newToken();
  const desk = new Desk(batch, by, seen);
  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      maxRequestBodySize: LONGEST,
      fetch: (request, { port }) => answer(request, { port: port!, token }, desk),
    });
  } catch (error) {
    throw new Fail(`port ${port} is taken`, {
      fix: "another --port, or none to take a free one",
      exit: Exit.usage,
      cause: error,
    });
  }
  return {
    url: addressOf({ port: server.port!, token }),
    finished: () => desk.finished,
    async close() {
      await Promise.race([server.stop(), Bun.sleep(1000)]);
      await server.stop(true);
    },
  };
}

async function answer(request: Request, door: Door, desk: Desk): Promise<Response> {
  const refused = refusal(request, door, true);
  if (refused) return refused;
  const { pathname, searchParams } = new URL(request.url);
  const number = (name: string) => Math.max(0, Math.floor(Number(searchParams.get(name)) || 0));
  try {
    if (request.method === "GET") {
      switch (pathname) {
        case "/":
          return page(desk);
        case "/items":
          return json(desk.items(number("from")));
        case "/changes":
          return json(desk.changes(number("since")));
      }
      return plain(404, "not here");
    }
    const body: unknown = await request.json();
    if (!isObject(body)) return plain(400, "a JSON object was expected");
    switch (pathname) {
      case "/check":
        return json(desk.check(body));
      case "/decide":
        return json(await desk.decide(body));
      case "/finish":
        desk.finished = true;
        return json({});
    }
    return plain(404, "not here");
  } catch (error) {
    if (error instanceof Fail) {
      return plain(error.exit === Exit.disk ? 500 : 422, `${error.message}: ${error.why ?? ""}`);
    }
    if (error instanceof SyntaxError) return plain(400, "not valid JSON");
    throw error;
  }
}

const json = (value: unknown) => Response.json(value, { headers: CAREFUL });

/** The batch as the pages know it. */
class Desk {
  finished = false;
  /** Items in the order in which they changed; a page says how many of these changes it knows. */
  readonly #changed: number[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    readonly batch: Batch,
    readonly by: string,
    readonly seen: (text: string) => SeenRow,
  ) {}

  items(from: number) {
    this.#look();
    const to = Math.min(from + PAGE, this.batch.facts.items);
    const items = [];
    for (let item = from + 1; item <= to; item++) items.push(this.#shown(this.batch.item(item)));
    return { items, ...this.#standing() };
  }

  changes(since: number) {
    this.#look();
    const changed = new Set(this.#changed.slice(since));
    return {
      items: [...changed].map((item) => this.#shown(this.batch.item(item))),
      ...this.#standing(),
    };
  }

  /** What an edited text would be. */
  check({ item, form }: Readonly<Record<string, unknown>>) {
    try {
      const text = folded(String(form), this.#item(item).text);
      return { text, ...this.seen(text) };
    } catch (error) {
      return { parts: [], problems: [error instanceof Error ? error.message : String(error)] };
    }
  }

  /** One act after the other: the lock of a batch is not waited for within one process. */
  decide({ acts }: Readonly<Record<string, unknown>>) {
    const turn = this.#turn.then(async () => {
      const checked = (Array.isArray(acts) ? acts : []).map((act) => this.#act(act));
      const outcomes = await this.batch.decide(this.by, checked);
      for (const { act, taken } of outcomes) if (taken) this.#changed.push(act.item);
      this.#look();
      return {
        outcomes: outcomes.map(({ taken, item }) => ({ taken, item: this.#shown(item) })),
        ...this.#standing(),
      };
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #look() {
    for (const { item } of this.batch.refresh()) this.#changed.push(item);
  }

  #standing() {
    return { counts: this.batch.counts, known: this.#changed.length };
  }

  #shown(item: Item) {
    return { ...item, form: unfolded(item.now), ...this.seen(item.now) };
  }

  #item(item: unknown): Item {
    const { items, id } = this.batch.facts;
    if (typeof item === "number" && Number.isInteger(item) && item >= 1 && item <= items) {
      return this.batch.item(item);
    }
    throw new Fail(`${id} has no item ${item}`, {
      why: `items are 1 to ${items}`,
      exit: Exit.data,
    });
  }

  /** @throws Fail (data) for what is no act, and for a row that could not be trained */
  #act(given: unknown): Act {
    const { item, what, text, reason, of } = (isObject(given) ? given : {}) as Record<
      string,
      unknown
    >;
    const { now, item: number } = this.#item(item);
    if (what === "undo") {
      return { item: number, what, ...(typeof of === "number" ? { of } : {}) };
    }
    if (what === "reject") return { item: number, what, reason: String(reason ?? "").trim() };
    if (what !== "approve" && !(what === "edit" && typeof text === "string")) {
      throw new Fail(`item ${number}: an unknown kind of decision`, {
        why: `got ${JSON.stringify(what)}`,
        exit: Exit.data,
      });
    }
    const row = what === "edit" ? text as string : now;
    const { problems } = this.seen(row);
    if (problems.length > 0) {
      throw new Fail(`item ${number} could not be trained`, {
        why: problems.join("; "),
        exit: Exit.data,
      });
    }
    return what === "edit" ? { item: number, what, text: row } : { item: number, what };
  }
}

function page({ batch: { facts }, by }: Desk): Response {
  const body = `<main>
<header><h1>${escape(facts.agent)}</h1><span class="sub">${escape(facts.id)}, from ${
    escape(facts.source)
  }; reviewing as <b>${escape(by)}</b></span>
<button id="help" title="Keys">?</button></header>
<div class="bar" id="bar"><i class="approved"></i><i class="rejected"></i></div>
<p class="sub" id="standing"></p>
<nav><span id="filters"></span><input id="search" type="search" placeholder="Search  /" autocomplete="off">
<button id="bulk"></button></nav>
<div class="desk">
<ol id="list" tabindex="-1"></ol>
<section id="item" aria-live="polite"></section>
</div>
<div id="toast" role="status"></div>
<dialog id="dialog"></dialog>
</main>`;
  return onePage({ title: `${facts.agent} review`, look: controls + look, body, client });
}
