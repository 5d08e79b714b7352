import { Fail } from "../base/fail.ts";
import { parseBytes, plural } from "../base/text.ts";
import type { Device } from "../gpu/device.ts";
import { Metrics } from "../serve/api/metrics.ts";
import type { Answering, Wanted } from "../serve/api/served.ts";
import { openServer } from "../serve/api/server.ts";
import { chatPage } from "../serve/chat.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import type { CommonSettings } from "../settings/common.ts";
import type { ServeSettings } from "../settings/serve.ts";
import type { Grammar } from "../text/grammar/constraint.ts";
import { checked, grammarOf, schemaOf } from "./constrained.ts";
import { samplingOf } from "./infer.ts";
import type { Io } from "./io.ts";
import { load, openBoth } from "./loaded.ts";
import { routed } from "./routed.ts";
import { namedModels, ServedModels, tensorsOf } from "./served.ts";
import { merged } from "./tasks.ts";
import { textsOf } from "./texts.ts";

/** Milliseconds that requests under way are given at the end. */
const GRACE = 8000;
/** Schemas whose automata are kept. */
const GRAMMARS = 64;

/**
 * Serves until a signal comes or the device is gone.
 * @param token what clients must send
 * @param shared a device that is open already and stays so
 * @throws Fail (usage) (data) before it listens, (gpu) where the device is lost
 */
export async function serveModels(
  settings: ServeSettings & CommonSettings,
  token: string | undefined,
  io: Io,
  shared?: Device,
): Promise<void> {
  const schema = settings.schema === undefined ? undefined : schemaOf(settings.schema);
  const { base, adapters } = await namedModels(settings);
  const texts = await textsOf(base, settings.template);
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
    shared,
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
        alive(device);
        await Bun.sleep(50);
      }
    } finally {
      const cut = await server.stop(GRACE);
      if (cut > 0) io.note(`${plural(cut, "request")} cut short`);
    }
    const idle = Promise.all([...models.byName.values()].map((one) => one.generator?.idle()));
    await Promise.race([idle, Bun.sleep(500)]); // a device that hangs is left to the end of the process
  } finally {
    models.free();
  }
}

/** @throws Fail (gpu) where the device is gone */
function alive(device: Device): void {
  try {
    device.check();
  } catch (error) {
    if (!(error instanceof Fail)) throw error;
    const { message, why, exit } = error;
    throw new Fail(message, { why, fix: "start the server again", exit, cause: error });
  }
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
