import { existsSync } from "node:fs";
import { version } from "./version.ts";
import { Exit, Fail } from "../base/fail.ts";
import { suggest } from "../base/text.ts";
import { type CommonSettings, commonSettings } from "../settings/common.ts";
import { type Field, fieldsOf } from "../settings/field.ts";
import { resolve } from "../settings/load.ts";
import { sections } from "../settings/mod.ts";
import { asRecorded } from "../settings/recorded.ts";
import { parseArguments } from "./arguments.ts";
import type { Entry } from "./command.ts";
import { tell } from "./errors.ts";
import { commandHelp, topHelp } from "./help.ts";
import { type Io, openIo, readText, type Stop, type Write } from "./io.ts";
import { layersOf } from "./layers.ts";
import { aliases, later, table } from "./mod.ts";

/**
 * Runs one command line.
 * @param argv without the program's own name
 * @param write takes what is said, in place of stdout and stderr
 * @returns the exit code; never throws
 */
export async function run(argv: readonly string[], stop: Stop, write?: Write): Promise<number> {
  const has = (flag: string) => argv.includes(flag);
  // What errors look like is known before the settings are.
  let io = openIo({ json: has("--json"), color: !has("--no-color"), stop, write });
  let debug = has("--debug");
  try {
    const common = fieldsOf(commonSettings);
    const found = find(argv, common);
    if (!found) {
      if (has("--version") || has("-V")) io.data(version);
      else io.data(topHelp(table, version, (text) => io.paint("bold", text)));
      return Exit.ok;
    }
    const { entry, rest } = found;
    const command = await entry.load();
    const own = fieldsOf(command.settings);
    const typed = parseArguments(
      `whet ${entry.name}`,
      [...own, ...common],
      rest,
      command.words,
    );
    if (typed.help) {
      const bold = (text: string) => io.paint("bold", text);
      io.data(commandHelp(entry, command, own, common, typed.help === "long", bold));
      return Exit.ok;
    }
    const layers = layersOf(typed.given, command.section, [...own, ...common]);
    const general = resolve(commonSettings, layers).settings;
    debug = general.debug;
    await io.close();
    io = ioOf(general, stop, write);
    if (general.cache_dir) process.env.WHET_CACHE = general.cache_dir;
    warnOfEnvironment(io, [...Object.values(sections()).flat(), ...own]);
    if (general.dry_run && !command.dryRun) {
      throw new Fail(`whet ${entry.name} has no dry run`, {
        why: "it either writes nothing, or has no way to say beforehand what it would write",
        fix: "leave --dry-run out",
        code: "WH0214",
        exit: Exit.usage,
      });
    }
    const { settings } = resolve(command.settings, layers);
    stop.watched = command.stops ?? false;
    const code = await command.run({ ...general, ...(settings as object) }, io);
    return stopped(stop) ?? code ?? Exit.ok;
  } catch (error) {
    return tell(error, io, debug);
  } finally {
    await io.close().catch((error) => tell(error, io, debug));
  }
}

function ioOf(settings: CommonSettings, stop: Stop, write: Write | undefined): Io {
  const { json, quiet, verbose, color, log_file } = settings;
  return openIo({ json, quiet, verbose, color, logFile: log_file, stop, write });
}

/** 130 after SIGINT, 143 after SIGTERM. */
export function stopped(stop: Stop): number | undefined {
  return stop.requested && (stop.requested === "SIGINT" ? 130 : 143);
}

interface Found {
  readonly entry: Entry;
  readonly rest: readonly string[];
}

/**
 * The command in front of the arguments; flags of every command may stand before it, and "help" too.
 * @returns undefined where none is named and help is due
 * @throws Fail (usage) for an unknown command, with the nearest one
 */
function find(argv: readonly string[], common: readonly Field[]): Found | undefined {
  const before: string[] = [];
  let i = 0;
  while (argv[i]?.startsWith("-")) {
    const flag = argv[i]!;
    if (["-h", "--help", "-V", "--version"].includes(flag)) return undefined;
    before.push(argv[i++]!);
    const field = common.find((f) => flag === f.flag || flag === `-${f.info.short}`);
    if (field && field.kind !== "boolean" && argv[i] !== undefined) before.push(argv[i++]!);
  }
  let words = argv.slice(i);
  if (words[0] === "help") {
    words = words.slice(1);
    if (words.length === 0) return undefined;
    before.push("--help");
  }
  const name = words[0];
  if (name === undefined) {
    if (before.length === 0) return undefined;
    throw new Fail("no command was given", {
      why: `only flags: ${before.join(" ")}`,
      fix: "whet --help lists the commands",
      code: "WH0209",
      exit: Exit.usage,
    });
  }
  const short = aliases[name];
  if (short) words = [...short, ...words.slice(1)];
  const [first, second] = words as [string, string | undefined];
  const two = table.find((entry) => entry.name === `${first} ${second}`);
  if (two) return { entry: two, rest: [...before, ...words.slice(2)] };
  const one = table.find((entry) => entry.name === first);
  if (one) return { entry: one, rest: [...before, ...words.slice(1)] };
  const kind = second?.startsWith("-") ? recordedKind(words) : undefined;
  const same = table.find((entry) => entry.name === `${first} ${kind}`);
  if (same) return { entry: same, rest: [...before, ...words.slice(1)] };
  throw unknown(first, second);
}

/** The kind of the run that --config names: `whet train --config run.json` needs no second word. */
function recordedKind(words: readonly string[]): string | undefined {
  const at = words.findIndex((word) => /^(-c|--config)(=|$)/.test(word));
  if (at < 0) return undefined;
  const path = words[at]!.split("=", 2)[1] ?? words[at + 1];
  if (path === undefined || !existsSync(path)) return undefined;
  return asRecorded(readText(path, "the config file"), path)?.kind;
}

function unknown(first: string, second: string | undefined): Fail {
  const both = `${first} ${second ?? ""}`.trim();
  const promised = later[both] ?? later[first];
  if (promised) {
    return new Fail(`whet ${later[both] ? both : first} is not built yet`, {
      why: promised,
      fix: "whet --help lists what works",
      code: "WH0206",
      exit: Exit.usage,
    });
  }
  const family = table.filter((entry) => entry.name.startsWith(`${first} `));
  if (family.length > 0) {
    const names = family.map((entry) => entry.name);
    const near = second === undefined ? undefined : suggest(both, names);
    return new Fail(
      second === undefined || second.startsWith("-")
        ? `whet ${first} needs a second word`
        : `unknown command "${both}"`,
      {
        why: near ? `did you mean "${near}"?` : `there are: ${names.join(", ")}`,
        fix: `whet ${near ?? names[0]} --help`,
        code: "WH0209",
        exit: Exit.usage,
      },
    );
  }
  const names = [...table.map((entry) => entry.name), ...Object.keys(aliases)];
  const near = suggest(first, [...new Set(names.map((n) => n.split(" ")[0]!))]) ??
    suggest(both, names);
  return new Fail(`unknown command "${first}"`, {
    why: near ? `did you mean "${near}"?` : "whet has no such command",
    fix: near ? `whet ${near} --help` : "whet --help lists the commands",
    code: "WH0209",
    exit: Exit.usage,
  });
}

/** A WHET_ variable that is nearly the name of a setting is a typing error. */
function warnOfEnvironment(io: Io, fields: readonly Field[]) {
  const known = new Set(fields.map((f) => `WHET_${f.key.toUpperCase()}`));
  const others = ["WHET_CACHE", "WHET_SERVE_TOKEN"];
  for (const name of Object.keys(process.env)) {
    if (!name.startsWith("WHET_") || others.includes(name) || known.has(name)) continue;
    const near = suggest(name.slice(5), [...known].map((k) => k.slice(5)));
    if (near) io.warn("WH0203", `${name} is not a setting`, `did you mean WHET_${near}?`);
  }
}
