/** Process exit codes: the contract of the command line. */
export const Exit = {
  ok: 0,
  internal: 1,
  usage: 2,
  data: 3,
  gpu: 4,
  memory: 5,
  diverged: 6,
  network: 7,
  authorisation: 8,
  gate: 9,
  approval: 10,
  remote: 11,
  disk: 12,
} as const;
export type ExitCode = (typeof Exit)[keyof typeof Exit];

export interface FailDetails {
  /** The cause, one sentence. */
  readonly why?: string;
  /** What to type or change next. */
  readonly fix?: string;
  readonly exit?: ExitCode;
  /** Stable identifier, "WH1203". */
  readonly code?: string;
  readonly cause?: unknown;
}

/**
 * An error a person can act on: what was expected and found, why, and what to do next. Everything the
 * program foresees is thrown as a Fail; any other error that reaches main is a bug in whet.
 */
export class Fail extends Error {
  override readonly name = "Fail";
  readonly why?: string;
  readonly fix?: string;
  readonly exit: ExitCode;
  readonly code?: string;

  constructor(what: string, details: FailDetails = {}) {
    super(what, { cause: details.cause });
    this.why = details.why;
    this.fix = details.fix;
    this.exit = details.exit ?? Exit.internal;
    this.code = details.code;
  }
}
