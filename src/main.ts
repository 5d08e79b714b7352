import { writeSync } from "node:fs";
import { Fail } from "./base/fail.ts";
import { version } from "./commands/version.ts";

/**
 * The command line: arguments in, exit code out. The only file that exits. It imports nothing that is
 * not needed to answer --version.
 */
const argv = process.argv.slice(2);
const stop: { requested: "SIGINT" | "SIGTERM" | undefined; watched: boolean } = {
  requested: undefined,
  watched: false,
};

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  process.on(signal, () => {
    if (!stop.watched || stop.requested) process.exit(code);
    stop.requested = signal;
    say("\nfinishing this step; the same again stops at once");
  });
}
// A closed terminal must not end a run that could finish; who does not run long ends as usual.
process.on("SIGHUP", () => {
  if (!stop.watched) process.exit(129);
});

process.on("uncaughtException", bug);
process.on("unhandledRejection", bug);

if (argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
  writeSync(1, `${version}\n`);
  process.exit(0);
}
const { run } = await import("./commands/cli.ts");
process.exit(await run(argv, stop));

/** An error that nobody waited for: foreseen ones are told as always, others are bugs. */
function bug(error: unknown) {
  if (error instanceof Fail) {
    say(`error: ${error.message}\n  why: ${error.why ?? ""}\n  fix: ${error.fix ?? ""}`);
  } else say(`error: this is a bug in whet: ${error} (run it again with --debug and report it)`);
  if (argv.includes("--debug") && error instanceof Error) say(error.stack ?? "");
  process.exit(error instanceof Fail ? error.exit : 1);
}

function say(text: string) {
  try {
    writeSync(2, text + "\n");
  } catch {
    // The terminal is gone; the run goes on.
  }
}
