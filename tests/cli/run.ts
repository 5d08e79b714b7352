import { join } from "node:path";
import { canaries, canaryIn } from "../canary.ts";

/** What a command line gave back. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const main = join(import.meta.dir, "../../src/main.ts");

/** The environment of a stranger, nothing that changes what whet prints; and keys that it must not tell. */
export function bare(): Record<string, string> {
  const kept = ["PATH", "HOME", "TMPDIR", "VK_ICD_FILENAMES", "VK_DRIVER_FILES", "XDG_RUNTIME_DIR"];
  const env: Record<string, string> = { LANG: "C.UTF-8", ...canaries };
  for (const name of kept) if (process.env[name]) env[name] = process.env[name];
  return env;
}

/** Starts whet in a folder. */
export function start(argv: readonly string[], cwd: string, env: Record<string, string> = {}) {
  return Bun.spawn([process.execPath, main, ...argv], {
    cwd,
    env: { ...bare(), ...env },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** More at once would only wait for the processor. */
const AT_ONCE = 3;
let running = 0;
const waiting: (() => void)[] = [];

/** Runs whet in a folder to its end; a few at a time. */
export async function whet(
  argv: readonly string[],
  cwd: string,
  options: { stdin?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<Ran> {
  if (running >= AT_ONCE) await new Promise<void>((go) => waiting.push(go));
  running++;
  try {
    return await one(argv, cwd, options);
  } finally {
    running--;
    waiting.shift()?.();
  }
}

async function one(
  argv: readonly string[],
  cwd: string,
  options: { stdin?: string | Uint8Array; env?: Record<string, string> },
): Promise<Ran> {
  const child = start(argv, cwd, options.env);
  child.stdin.write(options.stdin ?? "");
  child.stdin.end();
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return searched({ code, out, err });
}

/** What a command line gave back, unless it tells a key. */
export function searched(ran: Ran): Ran {
  const told = canaryIn(ran.out) ?? canaryIn(ran.err);
  if (told) throw new Error(`the value of ${told} was printed:\n${ran.out}${ran.err}`);
  return ran;
}
