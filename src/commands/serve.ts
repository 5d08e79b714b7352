import { Exit, Fail } from "../base/fail.ts";
import { parseBytes, plural } from "../base/text.ts";
import type { Answering, Wanted } from "../serve/api/served.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { type ServeSettings, serveSettings } from "../settings/serve.ts";
import type { Grammar } from "../text/grammar/constraint.ts";
import { command } from "./command.ts";
import { checked, grammarOf, schemaOf } from "./constrained.ts";
import { samplingOf } from "./infer.ts";
import { readText } from "./io.ts";
import { routed } from "./routed.ts";
import { merged } from "./tasks.ts";
import { textsOf } from "./texts.ts";

/** Milliseconds that requests under way are given at the end. */
const GRACE = 8000;
/** Schemas whose automata are kept. */
const GRAMMARS = 64;

export const serve = command({
  section: "serve",
  stops: true,
  examples: [
    "whet serve -m ./model",
    "whet serve -m ./model -a git=./runs/git -a gh=./runs/gh",
    "whet serve -m model.gguf --schema schemas/garden.yaml --thresholds .9,.7,.5",
    "whet serve -m ./model --host 0.0.0.0 --token-file token.txt",
    `curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"water the beans"}]}'`,
  ],
  details:
    "POST /v1/chat/completions, /v1/completions and /v1/embeddings, GET /v1/models, /health, /metrics " +
    "(Prometheus) and a page to chat at /. Answers stream; response_format json_object and json_schema " +
    "hold them to JSON. A request that names no model gets the first adapter, else the model itself. " +
    "Each adapter has --slots and a cache of its own over one copy of the model. What a request asks for " +
    "and this server does not do is refused by name. --sections and --thresholds add a field whet to each " +
    "choice. Ctrl-C or SIGTERM: what is under way has 8 seconds to finish.",
  settings: serveSettings,
  async run(settings, io) {
    const token = tokenOf(settings);
    const [{ isLoopback }, { namedModels, ServedModels, tensorsOf }, { openServer }] = await Promise
      .all([
        import("../serve/api/guard.ts"),
        import("./served.ts"),
        import("../serve/api/server.ts"),
      ]);
    const open = !isLoopback(settings.host);
    if (token === undefined && (open || settings.allow_origin.includes("*"))) {
      throw new Fail(
        open
          ? `${settings.host} can be reached from other machines, and there is no token`
          : "any web page may ask, and there is no token",
        {
          why: "whoever reaches the server could use it",
          fix: "WHET_SERVE_TOKEN in the environment, or --token-file FILE",
          exit: Exit.usage,
        },
      );
    }
    const schema = settings.schema === undefined ? undefined : schemaOf(settings.schema);
    const { base, adapters } = await namedModels(settings);
    const texts = await textsOf(base, settings.template);
    const [{ load, openBoth }, { chatPage }, { Metrics }] = await Promise.all([
      import("./loaded.ts"),
      import("../serve/chat.ts"),
      import("../serve/api/metrics.ts"),
    ]);
    using opened = await openBoth({
      ...settings,
      model: base,
      adapter: undefined,
      task: merged(settings.task),
    });
    using loaded = await load(
      opened,
      settings,
      io,
      undefined,
      (model, adapted = {}) => tensorsOf({ model, adapted }),
    );
    const models = await ServedModels.create(loaded, base, adapters, texts, settings, io);
    const { device } = loaded;
    try {
      const { vocab } = opened.model.sizes;
      const server = openServer({
        house: {
          models: models.byName,
          answering: answeringOf(
            settings,
            schema,
            (schema, sections) => grammarOf(schema, sections, texts.tokenizer, vocab),
          ),
          sampling: { ...samplingOf({ ...settings, seed: 0 }), seed: settings.seed },
          limits: {
            maxTokens: settings.max_tokens,
            queue: settings.queue,
            seconds: settings.timeout,
            body: parseBytes(settings.max_body)!,
          },
          promptLock: settings.prompt_lock,
          metrics: new Metrics(),
        },
        guard: {
          host: settings.host,
          token,
          origins: settings.allow_origin,
          names: settings.allow_host.map((name) => name.toLowerCase()),
        },
        port: settings.port,
        page: chatPage,
        deviceBytes: () => device.bytes,
        told: (record) => {
          io.event("request", { ...record });
          io.detail(
            `${record.status} ${record.route} ${record.milliseconds} ms` +
              (record.model === undefined
                ? ""
                : ` ${record.model} ${record.prompt_tokens}+${record.completion_tokens} tokens`),
          );
        },
        defect: (error) => io.warn("WH0100", `a bug in whet: ${error}`, "report it, with --debug"),
      });
      const names = [...models.byName.keys()];
      io.event("ready", { url: server.url, models: names });
      io.out(`serving ${names.join(", ")} on ${server.url}`);
      io.note("Ctrl-C ends");
      try {
        while (!io.stop.requested) {
          device.check();
          await Bun.sleep(50);
        }
      } finally {
        const cut = await server.stop(GRACE);
        if (cut > 0) io.note(`${plural(cut, "request")} cut short`);
      }
      await Promise.all([...models.byName.values()].map(({ generator }) => generator?.idle()));
    } finally {
      models.free();
    }
  },
});

/** The token that clients must send: never an argument, which other users of this machine can read. */
function tokenOf({ token_file }: Pick<ServeSettings, "token_file">): string | undefined {
  const text = token_file === undefined
    ? process.env.WHET_SERVE_TOKEN
    : readText(token_file, "the token", 4096);
  const token = text?.trim();
  if (token === undefined || (token === "" && token_file === undefined)) return undefined;
  if (/^[\x21-\x7e]{16,}$/.test(token)) return token;
  const where = token_file ?? "WHET_SERVE_TOKEN";
  throw new Fail(`the token in ${where} is no token`, {
    why: "at least 16 characters are needed, without spaces",
    fix: token_file === undefined
      ? 'export WHET_SERVE_TOKEN="$(openssl rand -hex 24)"'
      : `openssl rand -hex 24 > ${token_file}`,
    exit: Exit.usage,
  });
}

/** What answers are held to and what is told of them, as the settings say and requests ask. */
function answeringOf(
  { sections = [], thresholds }: Pick<ServeSettings, "sections" | "thresholds">,
  usual: AnswerSchema | undefined,
  make: (schema: Pick<AnswerSchema, "name" | "json">, sections: readonly string[]) => Grammar,
): Answering {
  const known = new Map<string, Grammar>();
  // Who asks for a form of their own gets it without sections.
  const tagsOf = ({ form }: Wanted) => form ? [] : sections;
  return {
    grammar(wanted) {
      const { form, free } = wanted, tags = tagsOf(wanted);
      const schema = form ? { name: form.name, json: form.schema } : free ? undefined : usual;
      if (!schema) return undefined;
      const key = JSON.stringify([tags, schema.json]);
      const grammar = known.get(key) ?? make(schema, tags);
      // The last used come last; the first are forgotten.
      known.delete(key);
      known.set(key, grammar);
      if (known.size > GRAMMARS) known.delete(known.keys().next().value!);
      return grammar;
    },
    told(text, wanted) {
      const tags = tagsOf(wanted), held = usual && !wanted.form && !wanted.free;
      const said = {
        ...routed(text, { sections: tags.length > 0 ? tags : undefined, thresholds }),
        ...(held ? checked(text, usual, tags) : {}),
      };
      return Object.keys(said).length > 0 ? said : undefined;
    },
  };
}
