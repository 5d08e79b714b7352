import { closeSync, createReadStream, openSync, readSync, writeSync } from "node:fs";
import { type LineLog, openLog } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";

/** Set by the first SIGINT or SIGTERM: whoever runs long looks here between steps and winds up. */
export interface Stop {
  requested: "SIGINT" | "SIGTERM" | undefined;
  /** True while a command looks at `requested`; else the first signal ends the process at once. */
  watched: boolean;
}

/** One line of input, numbered from 1. */
export interface Line {
  readonly number: number;
  readonly text: string;
}

export type EventFields = Readonly<Record<string, unknown>>;

/**
 * Everything a command says and hears. Results go to stdout; all else to stderr. Nothing below this
 * floor prints.
 */
export interface Io {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** stderr is a terminal that a person watches, so one line may be redrawn. */
  readonly live: boolean;
  /** Columns of that terminal. */
  readonly width: number;
  /** Only characters of ASCII. */
  readonly ascii: boolean;
  readonly stop: Stop;
  /** The reader of stdout has gone away: further results are of no use. */
  readonly closed: boolean;
  /** A line of the result for people; nothing with --json. */
  out(line: string): void;
  /** A part of a line of the result for people, shown at once; nothing with --json. */
  piece(text: string): void;
  /** A line of the result for programs; nothing without --json. */
  result(value: unknown): void;
  /** A line of the result that is the same for both: what pipes carry. */
  data(line: string): void;
  /** Something happened: one NDJSON line on stdout with --json, and always in the log file. */
  event(kind: string, fields: EventFields): void;
  /** A remark for people; not with --quiet. */
  note(text: string): void;
  /** A line on stderr whatever the flags say: errors. */
  say(text: string): void;
  /** A remark with --verbose. */
  detail(text: string): void;
  /** Something to look at, never hidden. */
  warn(code: string, message: string, fix?: string): void;
  /** Redraws the live line; with no text takes it away. Nothing where stderr is not a terminal. */
  progress(text?: string): void;
  /** Paints for stderr, where that is a terminal that shows colour. */
  paint(style: Style, text: string): string;
  /**
   * The lines of a file, or of stdin for "-", split at newlines, as they come.
   * @param what goes on, told where they are typed
   */
  lines(path: string, what?: string): AsyncIterable<Line>;
  close(): Promise<void>;
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const CODES: Readonly<Record<Style, [on: number, off: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

export interface IoOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color?: boolean;
  readonly logFile?: string;
  readonly stop: Stop;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Takes what is said, in place of stdout (1) and stderr (2). */
  readonly write?: Write;
}

export type Write = (fd: 1 | 2, text: string) => void;

/** Whether to paint on a stream: https://no-color.org and https://bixense.com/clicolors. */
export function paints(
  terminal: boolean,
  wanted: boolean,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  if (!wanted || env.NO_COLOR) return false;
  const forced = env.FORCE_COLOR ?? env.CLICOLOR_FORCE;
  if (forced) return forced !== "0";
  return terminal && env.TERM !== "dumb" && env.CLICOLOR !== "0";
}

/** Whether the terminal can be trusted with more than ASCII. */
export function plainAscii(
  env: Readonly<Record<string, string | undefined>>,
  platform: string = process.platform,
): boolean {
  if (platform === "win32") return !(env.WT_SESSION || env.TERM_PROGRAM);
  if (platform === "darwin") return false;
  return !/utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || "");
}

export function openIo(options: IoOptions): Io {
  return new Terminal(options);
}

class Terminal implements Io {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly live: boolean;
  readonly ascii: boolean;
  readonly stop: Stop;
  readonly #color: boolean;
  readonly #logFile: string | undefined;
  readonly #elsewhere: Write | undefined;
  #log: Promise<LineLog> | LineLog | undefined;
  #waiting: string[] = [];
  #painted = false;
  #last = 0;
  #gone = { 1: false, 2: false };

  constructor(options: IoOptions) {
    const env = options.env ?? process.env;
    this.json = options.json ?? false;
    this.quiet = options.quiet ?? false;
    this.verbose = options.verbose ?? false;
    this.stop = options.stop;
    this.#logFile = options.logFile;
    this.#elsewhere = options.write;
    const terminal = Boolean(process.stderr.isTTY);
    const mixed = this.json && Boolean(process.stdout.isTTY);
    this.live = terminal && env.TERM !== "dumb" && !this.quiet && !mixed;
    this.ascii = plainAscii(env);
    this.#color = paints(terminal, options.color ?? true, env);
  }

  get width() {
    return process.stderr.columns || 100;
  }

  get closed() {
    return this.#gone[1];
  }

  out(line: string) {
    if (!this.json) this.data(line);
  }

  piece(text: string) {
    if (this.json) return;
    this.#clear();
    this.#write(1, text);
  }

  result(value: unknown) {
    if (this.json) this.data(JSON.stringify(value));
  }

  data(line: string) {
    this.#clear();
    this.#write(1, line + "\n");
  }

  event(kind: string, fields: EventFields) {
    const line = JSON.stringify({ event: kind, v: 1, ...fields });
    this.result({ event: kind, v: 1, ...fields });
    if (!this.#logFile) return;
    if (this.#log && "append" in this.#log) return this.#log.append(line);
    this.#waiting.push(line);
    this.#log ??= openLog(this.#logFile).then((log) => {
      this.#log = log;
      for (const waiting of this.#waiting.splice(0)) log.append(waiting);
      return log;
    });
    this.#log.catch(() => {}); // told by close()
  }

  note(text: string) {
    if (!this.quiet) this.say(text);
  }

  detail(text: string) {
    if (this.verbose) this.say(text);
  }

  warn(code: string, message: string, fix?: string) {
    this.event("warn", { code, message, fix });
    this.say(`${this.paint("yellow", "warning:")} ${message}${fix ? `\n  fix: ${fix}` : ""}`);
  }

  progress(text?: string) {
    if (!this.live) return;
    if (text === undefined) return this.#clear();
    const now = performance.now();
    if (this.#painted && now - this.#last < 80) return;
    this.#last = now;
    this.#painted = true;
    this.#write(2, `\r\x1b[2K${Bun.sliceAnsi(text, 0, Math.max(20, this.width - 1))}`);
  }

  paint(style: Style, text: string) {
    if (!this.#color) return text;
    const [on, off] = CODES[style];
    return `\x1b[${on}m${text}\x1b[${off}m`;
  }

  lines(path: string, what = "reading rows from the terminal") {
    if (path === "-" && process.stdin.isTTY) this.note(`${what}; end with Ctrl-D`);
    return readLines(path);
  }

  async close() {
    this.#clear();
    const log = await this.#log;
    if (!log) return;
    await log.close();
    if (log.lost > 0) this.warn("WH1201", `${log.lost} lines could not be written to the log file`);
  }

  say(text: string) {
    this.#clear();
    this.#write(2, text + "\n");
  }

  #clear() {
    if (!this.#painted) return;
    this.#painted = false;
    this.#write(2, "\r\x1b[2K");
  }

  /**
   * Writes all of it before returning, so that nothing is lost at exit. A reader that has gone away
   * (EPIPE) or a terminal that was closed (EIO) is remembered and otherwise ignored.
   */
  #write(fd: 1 | 2, text: string) {
    if (this.#elsewhere) return this.#elsewhere(fd, text);
    if (this.#gone[fd]) return;
    const bytes = new TextEncoder().encode(text);
    for (let done = 0; done < bytes.length;) {
      try {
        done += writeSync(fd, bytes, done);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
          this.#gone[fd] = true;
          return;
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
      }
    }
  }
}

/** Longest line of input, bytes. */
const LONGEST = 64 * 2 ** 20;

/**
 * The lines of a file or of stdin ("-"): split at \n, a \r before it and a byte-order mark at the start
 * taken away, a last line without newline included.
 * @throws Fail (data) with the line number for bytes that are not UTF-8; (disk) where it cannot be read
 */
export async function* readLines(path: string): AsyncGenerator<Line> {
  const name = path === "-" ? "stdin" : path;
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let number = 0;
  const decode = (bytes: Uint8Array): Line => {
    number++;
    try {
      const text = decoder.decode(bytes);
      return { number, text: number === 1 && text.startsWith("\uFEFF") ? text.slice(1) : text };
    } catch {
      throw new Fail(`${name}, line ${number}: not valid UTF-8`, {
        why: "whet reads text as UTF-8 only",
        fix: `convert it first: iconv -f LATIN1 -t UTF-8 ${path === "-" ? "in.jsonl" : path}`,
        code: "WH0302",
        exit: Exit.data,
      });
    }
  };
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunksOf(path, name)) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const piece = chunk.subarray(from, at);
      const line = parts.length > 0 ? Buffer.concat([...parts, piece]) : piece;
      parts = [];
      size = 0;
      yield decode(line.at(-1) === 13 ? line.subarray(0, -1) : line);
      from = at + 1;
    }
    if (from === chunk.length) continue;
    parts.push(chunk.slice(from));
    size += chunk.length - from;
    if (size > LONGEST) {
      throw new Fail(`${name}, line ${number + 1}: longer than 64 MiB`, {
        why: "rows are separated by newlines; this looks like one large JSON value",
        fix: `write one JSON object a line: jq -c '.[]' ${path === "-" ? "in.json" : path}`,
        code: "WH0303",
        exit: Exit.data,
      });
    }
  }
  if (parts.length > 0) yield decode(Buffer.concat(parts));
}

async function* chunksOf(path: string, name: string): AsyncGenerator<Uint8Array> {
  try {
    if (path === "-") yield* Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>;
    else yield* createReadStream(path) as AsyncIterable<Uint8Array>;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    throw new Fail(`cannot read ${name}`, {
      why: code === "ENOENT"
        ? "there is no such file"
        : code === "EISDIR"
        ? "it is a folder; a file with one JSON object a line is needed"
        : `the system says ${code}`,
      fix: code === "ENOENT"
        ? `check the path: ls -l ${path}`
        : "name a file that can be read, or -",
      code: "WH0301",
      exit: Exit.data,
    });
  }
}

/** The whole of a small text file. @throws Fail (data) where it cannot be read or is too large */
export function readText(path: string, what: string, limit = 4 * 2 ** 20): string {
  try {
    const fd = openSync(path, "r");
    try {
      const buffer = new Uint8Array(limit + 1);
      let size = 0;
      for (let n = 1; n > 0 && size < buffer.length; size += n) {
        n = readSync(fd, buffer, size, Math.min(65536, buffer.length - size), null);
      }
      if (size > limit) {
        throw new Fail(`${path} is too large for ${what}`, {
          why: `more than ${limit} bytes`,
          fix: "name the right file",
          exit: Exit.usage,
        });
      }
      return new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, size));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof Fail) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    throw new Fail(`cannot read ${what} ${path}`, {
      why: code === "ENOENT"
        ? "there is no such file"
        : code
        ? `the system says ${code}`
        : String(error),
      fix: `check the path: ls -l ${path}`,
      code: "WH0208",
      exit: Exit.usage,
    });
  }
}
