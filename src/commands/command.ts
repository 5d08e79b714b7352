import type { z } from "zod";
import type { CommonSettings } from "../settings/common.ts";
import type { SettingsSchema } from "../settings/field.ts";
import type { Io } from "./io.ts";

/** One command: its settings, what its help shows first, and what it does. */
export interface Command<S extends SettingsSchema = SettingsSchema> {
  /** Lines to type, each ready to be copied; shown before everything else. */
  readonly examples: readonly string[];
  /** A few sentences below the examples. */
  readonly details?: string;
  readonly settings: S;
  /** The section of a config file that serves it. */
  readonly section?: string;
  /** Looks at `io.stop` between steps, so that the first Ctrl-C may wait for it. */
  readonly stops?: boolean;
  /** Takes name=value for --name=value. */
  readonly words?: boolean;
  /** Knows what --dry-run means for it. */
  readonly dryRun?: boolean;
  /** @returns the exit code, 0 where nothing is returned */
  run(settings: z.output<S> & CommonSettings, io: Io): Promise<number | void>;
}

/** A command of whatever settings, as the table holds it. */
export interface AnyCommand extends Omit<Command, "run"> {
  run(settings: unknown, io: Io): Promise<number | void>;
}

/** Types a command by its settings. */
export function command<S extends SettingsSchema>(it: Command<S>): AnyCommand {
  return it as AnyCommand;
}

/** A row of the table. */
export interface Entry {
  /** One or two words: "train sft". */
  readonly name: string;
  readonly about: string;
  readonly group: string;
  readonly load: () => Promise<AnyCommand>;
}
