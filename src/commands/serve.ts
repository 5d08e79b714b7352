import { Exit, Fail } from "../base/fail.ts";
import { type ServeSettings, serveSettings } from "../settings/serve.ts";
import { command } from "./command.ts";
import { readText } from "./io.ts";

export const serve = command({
  section: "serve",
  stops: true,
  examples: [
    "whet serve -m ./model",
    "whet serve -m ./model -a git=./runs/git -a gh=./runs/gh",
    "whet serve -m model.gguf --schema schemas/garden.yaml --thresholds .9,.7,.5",
    "whet serve -m ./model --host 0.0.0.0 --token-file token.txt",
    "whet serve -m ./embedder --port 0 --json",
  ],
  details:
    "POST /v1/chat/completions, /v1/completions and /v1/embeddings, GET /v1/models, /health, /metrics " +
    "(Prometheus) and a page to chat at /. Answers stream; response_format json_object and json_schema " +
    "hold them to JSON. A request that names no model gets the first adapter, else the model itself. " +
    "Each adapter has --slots and a cache of its own over one copy of the model. Encoders make " +
    "embeddings only, other models with --embeddings. What a request asks for " +
    "and this server does not do is refused by name. --sections and --thresholds add a field whet to each " +
    "choice. Ctrl-C or SIGTERM: what is under way has 8 seconds to finish.",
  settings: serveSettings,
  async run(settings, io) {
    const token = tokenOf(settings);
    const { isLoopback } = await import("../serve/api/guard.ts");
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
    const { serveModels } = await import("./serving.ts");
    await serveModels(settings, token, io);
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
