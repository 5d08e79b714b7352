/** A server that answers as Anthropic's Messages and OpenAI's Chat Completions do, and misbehaves on demand. */

/** What to do with one request; by default it answers well. */
export type Behaviour =
  | "good"
  | "429"
  | "429 date"
  | "500"
  | "529"
  | "401"
  | "400"
  | "redirect"
  | "slow"
  | "cut"
  | "not json"
  | "200 with error"
  | "no content"
  | "refusal"
  | "prose"
  | "fenced"
  | "truncated"
  | "bad rows"
  | "echo key";

export interface Seen {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly prompt: string;
  readonly body: Record<string, unknown>;
}

export interface MockTeacher extends Disposable {
  readonly url: string;
  readonly seen: Seen[];
}

/** Rows as a prompt of this schema asks for, every one of its own. */
function rowsFor(prompt: string, call: string, bad: boolean): unknown[] {
  const wanted = [...prompt.matchAll(/^- (\d+) × (\w+):/gm)];
  let n = 0;
  return wanted.flatMap(([, count, name]) =>
    Array.from({ length: Number(count) }, () => {
      const id = `${call}-${n++}`;
      const context = name === "full_context"
        ? { bed: "north", crop: "kale" }
        : name === "partial_context"
        ? { bed: "pond" }
        : null;
      const command = {
        type: "command",
        command: "bed",
        subcommand: bad ? "burn" : "soak",
        args: { minutes: 5, bed: "north" },
        flags: [],
        confidence: 0.95,
      };
      const asked = {
        type: "clarification",
        message: "Which bed?",
        suggestions: [],
        confidence: 0.4,
      };
      const output = /context$/.test(name!) ? command : asked;
      return { input: `water plan ${id} of ${name}`, context, output, case: name };
    })
  );
}

/** What a prompt asks of each of its items: a chain of reasoning, or the best answer. */
function itemsFor(prompt: string, bad: boolean): unknown[] {
  const items = [...prompt.matchAll(/^\{"id":"(\w{8})","prompt":(".*?[^\\]"|"")[,}]/gm)];
  return items.map(([, id, asked]) => {
    const words = (JSON.parse(asked!) as string).split(/\s+/);
    return prompt.includes('"reasoning"')
      ? {
        id,
        reasoning: bad
          ? "- so it is"
          : `- '${words.slice(-2).join(" ")}' (${id}) tells what is wanted\n- read as ${
            words.length * 7 + Number.parseInt(id!.slice(0, 3), 16)
          } on a scale nobody uses, for want of a better clue`,
      }
      : {
        id,
        answer: bad ? "soak" : {
          type: "command",
          command: "bed",
          subcommand: "soak",
          args: { bed: "north" },
          confidence: 0.9,
        },
      };
  });
}

/**
 * Starts the server on a free port of this machine.
 * @param behave by the number of the request, from 1
 */
export function mockTeacher(
  behave: (n: number) => Behaviour = () => "good",
  delay = 0,
): MockTeacher {
  const seen: Seen[] = [];
  const mark = crypto.randomUUID().slice(0, 8);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 30,
    async fetch(request): Promise<Response> {
      const { pathname } = new URL(request.url);
      const body = await request.json() as Record<string, unknown>;
      const headers = Object.fromEntries(request.headers.entries());
      const prompt = (body.messages as { content: string }[])[0]!.content;
      seen.push({ path: pathname, headers, prompt, body });
      const call = seen.length, how = behave(call);
      const anthropic = pathname === "/v1/messages";
      const error = (status: number, type: string, more: Record<string, string> = {}) =>
        Response.json(
          anthropic
            ? { type: "error", error: { type, message: `${type} ${JSON.stringify(headers)}` } }
            : { error: { message: `${type} ${JSON.stringify(headers)}`, type, code: null } },
          { status, headers: more },
        );
      if (delay > 0) await Bun.sleep(delay);
      const message = (text: string, reason = "") =>
        Response.json(
          anthropic
            ? {
              id: "msg_1",
              type: "message",
              role: "assistant",
              model: body.model,
              content: [{ type: "text", text }],
              stop_reason: reason || "end_turn",
              usage: { input_tokens: 1000, output_tokens: 200 },
            }
            : {
              id: "chatcmpl-1",
              object: "chat.completion",
              model: body.model,
              choices: [{
                index: 0,
                message: { role: "assistant", content: text },
                finish_reason: reason || "stop",
              }],
              usage: { prompt_tokens: 1000, completion_tokens: 200, total_tokens: 1200 },
            },
        );
      const bad = how === "bad rows", items = itemsFor(prompt, bad);
      const rows = JSON.stringify(
        items.length > 0 ? items : rowsFor(prompt, `${mark}-${call}`, bad),
      );
      switch (how) {
        case "429":
          return error(429, "rate_limit_error", { "retry-after": "0" });
        case "429 date":
          return error(429, "rate_limit_error", { "retry-after": new Date().toUTCString() });
        case "500":
          return error(500, "api_error", { "retry-after-ms": "5" });
        case "529":
          return error(529, "overloaded_error", { "retry-after-ms": "5" });
        case "401":
          return error(401, "authentication_error");
        case "400":
          return error(400, "invalid_request_error");
        case "redirect":
          return new Response(null, {
            status: 307,
            headers: { location: new URL("/stolen", request.url).href },
          });
        case "slow":
          await Bun.sleep(5000);
          return message(rows);
        case "cut":
          return new Response('{"type":"message","content":[{"type":"te');
        case "not json":
          return new Response("<html>busy</html>");
        case "200 with error":
          return error(200, "overloaded_error");
        case "no content":
          return Response.json({ type: "message" });
        case "refusal":
          return message("", "refusal");
        case "prose":
          return message("I am sorry, I would rather not.");
        case "fenced":
          return message(`Here they are:\n\`\`\`json\n${rows}\n\`\`\`\nAnything else?`);
        case "truncated":
          return message(rows.slice(0, Math.floor(rows.length * 0.6)), "max_tokens");
        case "echo key": {
          const key = headers["x-api-key"] ?? headers.authorization?.slice(7) ?? "";
          return message(rows.replace("water plan", `water ${key} plan`));
        }
        default:
          return message(rows);
      }
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    seen,
    [Symbol.dispose]() {
      server.stop(true);
    },
  };
}
