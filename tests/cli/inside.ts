import { run } from "../../src/commands/cli.ts";
import { type Io, openIo } from "../../src/commands/io.ts";
import { bare, type Ran, searched } from "./run.ts";

/** An Io that remembers what it is told. */
export function recorder(json: boolean): Io & { readonly told: { out: string; err: string } } {
  const told = { out: "", err: "" }, stop = { requested: undefined, watched: false };
  const write = (fd: 1 | 2, text: string) => void (told[fd === 1 ? "out" : "err"] += text);
  return Object.assign(openIo({ json, color: false, stop, write }), { told });
}

/** The command lines before this one: folder and environment are of the whole process, so one goes at a time. */
let before: Promise<unknown> = Promise.resolve();

/**
 * A command line in this process, which saves the start of another; in its folder, with the environment
 * of a stranger and what is given. For all whose point is not a process: signals, pipes, kills.
 */
export function whet(
  argv: readonly string[],
  cwd: string,
  options: { env?: Record<string, string> } = {},
): Promise<Ran> {
  const mine = before.then(() => one(argv, cwd, options.env ?? {}));
  before = mine.catch(() => {});
  return mine;
}

async function one(
  argv: readonly string[],
  cwd: string,
  given: Record<string, string>,
): Promise<Ran> {
  const folder = process.cwd(), env = { ...process.env }, told = { 1: "", 2: "" };
  const cache = env.WHET_CACHE ? { WHET_CACHE: env.WHET_CACHE } : {};
  const become = (to: Readonly<Record<string, string | undefined>>) => {
    for (const key of Object.keys(process.env)) if (to[key] === undefined) delete process.env[key];
    Object.assign(process.env, to);
  };
  process.chdir(cwd);
  become({ ...bare(), ...cache, ...given });
  try {
    const stop = { requested: undefined, watched: false };
    const code = await run(argv, stop, (fd, text) => void (told[fd] += text));
    return searched({ code, out: told[1], err: told[2] });
  } finally {
    become(env);
    process.chdir(folder);
  }
}

/** A command by its name, wherever it runs. */
export function inside(
  name: string,
  argv: readonly string[],
  given: Record<string, string> = {},
): Promise<Ran> {
  return whet([...name.split(" "), ...argv], process.cwd(), { env: given });
}
