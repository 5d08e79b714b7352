/** whet serve in this process, over the built-in model and adapters of random numbers. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openModel } from "../src/architectures/model.ts";
import { normalFill } from "../src/base/random.ts";
import { serveModels } from "../src/commands/serving.ts";
import { PROMPT_FILE, promptLock } from "../src/data/prompt_lock.ts";
import { loraDefaults, writeAdapter } from "../src/formats/peft.ts";
import type { Device } from "../src/gpu/device.ts";
import { commonSettings } from "../src/settings/common.ts";
import { serveSettings } from "../src/settings/serve.ts";
import { loadChatTemplate } from "../src/text/chat_template.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";
import { recorder } from "./cli/inside.ts";

export const micro = join(import.meta.dir, "../models/micro");

/** An adapter of random numbers for the built-in model. @param system the system prompt of its "training" */
export async function microAdapter(dir: string, seed: number, system?: string): Promise<string> {
  mkdirSync(dir, { recursive: true });
  const model = await openModel(micro), r = 4;
  const tensors = new Map<string, { shape: number[]; data: Float32Array }>();
  let stream = 0;
  for (const [name, { shape }] of model.folder.tensors) {
    const module = /^(.*\.(?:q_proj|v_proj))\.weight$/.exec(name)?.[1];
    if (module === undefined) continue;
    const [out, width] = shape as [number, number];
    const a = normalFill(seed, stream++, r * width, 0.3);
    const b = normalFill(seed, stream++, out * r, 0.3);
    tensors.set(`${module}.lora_A.weight`, { shape: [r, width], data: a });
    tensors.set(`${module}.lora_B.weight`, { shape: [out, r], data: b });
  }
  model.folder.close();
  const config = { ...loraDefaults, r, target_modules: ["q_proj", "v_proj"] };
  await writeAdapter(dir, config, tensors);
  if (system !== undefined) {
    const tokenizer = await loadTokenizer(micro);
    const template = await loadChatTemplate(micro, tokenizer);
    const rows = [{ messages: [{ role: "system", content: system }] }];
    const lock = promptLock(rows, template?.source, tokenizer);
    writeFileSync(join(dir, PROMPT_FILE), JSON.stringify(lock));
  }
  return dir;
}

type Init = Omit<RequestInit, "headers"> & { readonly headers?: Record<string, string> };

export interface Serving {
  readonly url: string;
  /** What it said so far. */
  readonly told: { readonly out: string; readonly err: string };
  post(path: string, body: unknown, init?: Init): Promise<Response>;
  /** A number of /metrics, 0 where it is not there yet. */
  metric(name: string): Promise<number>;
  /** As SIGTERM would. @throws what the command throws */
  stop(): Promise<void>;
  /** Resolves or rejects as the command does. */
  readonly over: Promise<void>;
}

/** Starts it on a free port. */
export async function serving(
  settings: Record<string, unknown> = {},
  { token, device }: { readonly token?: string; readonly device?: Device } = {},
): Promise<Serving> {
  const io = recorder(true);
  const all = {
    ...commonSettings.parse({}),
    ...serveSettings.parse({ model: micro, port: 0, ...settings }),
  };
  let failed = false;
  const over = serveModels(all, token, io, device).catch((error) => {
    failed = true;
    throw error;
  });
  over.catch(() => {});
  while (!failed && !io.told.out.includes('"ready"')) await Bun.sleep(10);
  if (failed) await over;
  const ready = io.told.out.split("\n").find((line) => line.includes('"ready"'))!;
  const { url } = JSON.parse(ready);
  const authorization: Record<string, string> = token === undefined
    ? {}
    : { authorization: `Bearer ${token}` };
  return {
    url,
    over,
    told: io.told,
    post: (path, body, init = {}) =>
      fetch(url + path, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
        headers: { "content-type": "application/json", ...authorization, ...init.headers },
      }),
    async metric(name) {
      const text = await (await fetch(`${url}/metrics`, { headers: authorization })).text();
      const lines = text.split("\n").filter((line) => line.startsWith(name));
      return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    },
    async stop() {
      io.stop.requested = "SIGTERM";
      await over;
    },
  };
}

/** The events of a stream, parsed, without [DONE]; fails where that is missing. */
export async function eventsOf(response: Response): Promise<Record<string, never>[]> {
  const lines = (await response.text()).split("\n\n").filter((line) => line.startsWith("data: "));
  if (lines.pop() !== "data: [DONE]") throw new Error("the stream has no end");
  return lines.map((line) => JSON.parse(line.slice(6)));
}
