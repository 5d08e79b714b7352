import { Exit, type ExitCode, Fail } from "../base/fail.ts";
import { exits } from "./settings/explanations.ts";
import type { Io } from "./io.ts";

/**
 * Tells a person what went wrong in three lines (what, why, fix) on stderr, and a program in one error
 * event. Anything but a Fail is a bug in whet: one line, the stack only with `debug`.
 * @returns the exit code
 */
export function tell(error: unknown, io: Io, debug: boolean): ExitCode {
  const fail = error instanceof Fail ? error : systemFail(error);
  const exit = fail?.exit ?? Exit.internal;
  const code = fail?.code ?? `WH${String(exit).padStart(2, "0")}00`;
  const thrown = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const what = fail?.message ?? `this is a bug in whet: ${thrown.split("\n")[0]}`;
  const why = fail ? fail.why ?? exits[exit].title : undefined;
  const fix = fail ? fail.fix ?? `whet explain ${code}` : "run it again with --debug and report it";
  io.event("error", { code, what, why: why ?? exits[exit].title, fix, exit });
  io.progress();
  const lines = fail
    ? [`${what} [${code}]`, `  why: ${indent(why!)}`, `  fix: ${indent(fix)}`]
    : [`${what} (${fix})`];
  io.say(`${io.paint("red", "error:")} ${lines.join("\n")}`);
  if (debug && error instanceof Error) {
    const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : "";
    io.say((error.stack ?? "no stack") + cause);
  }
  return exit;
}

/** What the operating system refused (a folder that is gone, no rights, no file handles) is no bug. */
function systemFail(error: unknown): Fail | undefined {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return new Fail(`the system refused ${syscall}: ${code}`, {
    why: error.message.split(",")[0],
    fix: "check that the folder and the files exist and may be read and written",
    exit: Exit.disk,
    cause: error,
  });
}

function indent(text: string): string {
  return text.replaceAll("\n", "\n       ");
}
