import { parseArguments } from "../../src/commands/arguments.ts";
import { tell } from "../../src/commands/errors.ts";
import type { Io } from "../../src/commands/io.ts";
import { readLines } from "../../src/commands/io.ts";
import { table } from "../../src/commands/mod.ts";
import { commonSettings } from "../../src/settings/common.ts";
import { fieldsOf } from "../../src/settings/field.ts";
import { resolve } from "../../src/settings/load.ts";
import { canaries } from "../canary.ts";
import { type Ran, searched } from "./run.ts";

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

/**
 * A command line in this process, which costs a hundredth of a new one; no config files, and of the
 * environment only what is given, with keys that must not be told. Not for several at once: the environment is of the whole process.
 */
export async function inside(
  name: string,
  argv: readonly string[],
  given: Record<string, string> = {},
): Promise<Ran> {
  const env: Record<string, string> = { ...canaries, ...given };
  const io = recorder(argv.includes("--json"));
  const hidden = Object.keys(process.env).filter((key) => /^(PHOENIX|WHET)_/.test(key));
  const before = Object.fromEntries(
    [...hidden, ...Object.keys(env)].map((k) => [k, process.env[k]]),
  );
  for (const key of hidden) if (key !== "WHET_CACHE") delete process.env[key];
  Object.assign(process.env, env);
  let code: number;
  try {
    const command = await table.find((entry) => entry.name === name)!.load();
    const own = fieldsOf(command.settings), common = fieldsOf(commonSettings);
    const parsed = parseArguments(`whet ${name}`, [...own, ...common], argv);
    const { settings } = resolve(command.settings, [parsed.given]);
    const general = resolve(commonSettings, [parsed.given]).settings;
    code = await command.run({ ...general, ...(settings as object) }, io) ?? 0;
  } catch (error) {
    code = tell(error, io, false);
  } finally {
    for (const [key, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[key];
      else process.env[key] = value;
    }
  }
  return searched({ code, ...io.told });
}
