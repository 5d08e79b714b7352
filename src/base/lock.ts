import { Database } from "bun:sqlite";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { diskFail, makeFolder } from "./disk.ts";
import { Exit, Fail } from "./fail.ts";

function holder(path: string): string {
  try {
    return readFileSync(path, "utf8").trim() || "another process";
  } catch {
    return "another process";
  }
}

/**
 * Holds a folder for this process until disposed of. The lock is SQLite's exclusive transaction on
 * `.lock` in that folder: the system frees it when the process ends, however it ends, so that no
 * stale lock can remain. Not for network file systems.
 * @param wait milliseconds that another may go on holding it, spent blocking; the default is long
 * enough to outlast somebody who only looks whether it is held
 * @throws Fail with exit 12 naming the holder, or when the folder cannot be written
 */
export async function lockFolder(path: string, wait = 100): Promise<Disposable> {
  const note = join(path, ".lock-holder");
  let database: Database | undefined;
  try {
    await makeFolder(path);
    database = new Database(join(path, ".lock"), { create: true });
    database.run(`PRAGMA busy_timeout = ${wait}`);
    database.run("BEGIN EXCLUSIVE");
    // Only a hint for the message below, so it need not be durable.
    writeFileSync(
      note,
      `process ${process.pid} on ${hostname()}, since ${new Date().toISOString()}\n`,
    );
  } catch (error) {
    database?.close();
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code.startsWith("SQLITE_BUSY")) {
      throw new Fail(`${path} is in use by ${holder(note)}`, {
        why: "Two runs in one folder would overwrite each other.",
        fix: "Wait for that run, stop it, or choose another folder (-o DIR).",
        exit: Exit.disk,
        cause: error,
      });
    }
    if (code.startsWith("SQLITE_")) {
      throw new Fail(`could not lock ${path}`, {
        why: error instanceof Error ? error.message : undefined,
        fix: "Choose a local folder you can write to (-o DIR).",
        exit: Exit.disk,
        cause: error,
      });
    }
    throw diskFail(error, path);
  }
  const held = database;
  return {
    [Symbol.dispose]() {
      held.close();
    },
  };
}

/** Whether a process holds a folder now. Changes nothing in it; false where it cannot be told. */
export function isLocked(path: string): boolean {
  const file = join(path, ".lock");
  if (!existsSync(file)) return false;
  let database: Database | undefined;
  try {
    database = new Database(file, { readonly: true });
    database.run("PRAGMA busy_timeout = 0");
    database.query("SELECT name FROM sqlite_master").all();
    return false;
  } catch (error) {
    return String((error as { code?: unknown }).code).startsWith("SQLITE_BUSY");
  } finally {
    database?.close();
  }
}
