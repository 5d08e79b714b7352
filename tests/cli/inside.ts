import { run } from "../../src/commands/cli.ts";
import { type Io, readLines } from "../../src/commands/io.ts";
import { bare, type Ran, searched } from "./run.ts";

/** An Io that remembers what it is told. */
export function recorder(json: boolean): Io & { readonly told: { out: string; err: string } } {
  const told = { out: "", err: "" };
  const say = (text: string) => void (told.err += text + "\n");
  const data = (line: string) => void (told.out += line + "\n");
  return {
    told,
    json,
    quiet: false,
    verbose: false,
    live: false,
    width: 100,
    ascii: true,
    closed: false,
    stop: { requested: undefined, watched: false },
    out: (line) => json || data(line),
    result: (value) => json && data(JSON.stringify(value)),
    data,
    piece: (text) => void (json || (told.out += text)),
    event: (kind, fields) => json && data(JSON.stringify({ event: kind, v: 1, ...fields })),
    note: say,
    say,
    detail: () => {},
    warn: (code, message, fix) =>
      say(`warning: ${message} [${code}]${fix ? `\n  fix: ${fix}` : ""}`),
    progress: () => {},
    paint: (_, text) => text,
    lines: readLines,
    close: () => Promise.resolve(),
  };
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
