import { existsSync } from "node:fs";
import { join } from "node:path";

export interface Request {
  /** A GGUF file. */
  readonly model: string;
  /** A GGUF LoRA adapter to apply. */
  readonly lora?: string;
  readonly ids?: readonly number[];
  /** How many ids to generate greedily; without it, logits of every position are given. */
  readonly greedy?: number;
  /** Texts to tokenise, without special tokens. */
  readonly texts?: readonly string[];
  /** Texts to embed, as ids. */
  readonly embed?: readonly (readonly number[])[];
}

export interface Answer {
  readonly ids?: readonly number[];
  /** f32[ids, vocabulary], base64. */
  readonly logits?: string;
  readonly tokens?: readonly (readonly number[])[];
  readonly embeddings?: readonly (readonly number[])[];
  readonly error?: string;
}

export interface Oracle {
  ask(request: Request): Promise<Answer>;
  close(): Promise<void>;
}

const folder = import.meta.dir;

/** Installs what other programs are asked with into this folder. Returns why not, if not. */
export async function install(name: string): Promise<string | undefined> {
  if (existsSync(join(folder, "node_modules", name, "package.json"))) return;
  const command = [
    process.execPath,
    "install",
    "--frozen-lockfile",
    "--omit=optional",
  ];
  const child = Bun.spawn(command, {
    cwd: folder,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: 60_000,
  });
  const said = await new Response(child.stderr).text();
  if (await child.exited === 0) return;
  return `${name} could not be installed: ${said.trim().split("\n").at(-1) ?? "no reason given"}`;
}

/** llama.cpp's prebuilt CPU library is for one system only. */
const elsewhere = process.platform === "linux" && process.arch === "x64"
  ? undefined
  : `llama.cpp is installed for linux-x64 only, this is ${process.platform}-${process.arch}`;

/**
 * Starts llama.cpp in a process of its own, installing it the first time.
 *
 * @returns the oracle, or the reason why there is none
 */
export async function startOracle(): Promise<Oracle | string> {
  const reason = elsewhere ?? await install("@node-llama-cpp/linux-x64");
  if (reason !== undefined) return reason;
  const child = Bun.spawn([process.execPath, join(folder, "llama.ts")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  async function line(): Promise<string> {
    for (;;) {
      const end = rest.indexOf("\n");
      if (end >= 0) {
        const found = rest.slice(0, end);
        rest = rest.slice(end + 1);
        return found;
      }
      const { value, done } = await reader.read();
      if (done) throw new Error(`llama.cpp ended with ${await child.exited}`);
      rest += value;
    }
  }
  return {
    async ask(request) {
      child.stdin.write(JSON.stringify(request) + "\n");
      await child.stdin.flush();
      return JSON.parse(await line()) as Answer;
    },
    async close() {
      child.stdin.end();
      await child.exited;
    },
  };
}
