import type { CliSchema } from "../settings/cli_schema.ts";

/** Phrasings of a subcommand, and combinations of arguments and flags for each. */
export const PHRASINGS = 10;
export const COMBINATIONS = 5;
/** Beyond this many rows more of them teach little. */
export const ENOUGH = 5000;

/** How many rows a command line needs, and of which kind. */
export interface DataPlan {
  readonly subcommands: number;
  /** 50 a subcommand, ten phrasings of five combinations each. */
  readonly phrased: number;
  /** Rows altogether. */
  readonly rows: number;
  readonly withContext: number;
  readonly withoutContext: number;
  /** Split evenly over the six negative cases. */
  readonly negative: number;
  /** Missing and default arguments, unusual values, every flag: among all of the above. */
  readonly edge: number;
  readonly train: number;
  readonly val: number;
  readonly calls: number;
}

/**
 * 50 N rows for N subcommands are commands in plain words. They are 60 parts of a hundred; 20 more
 * come without context and 20 are negative; edge cases are a fifth on top, spread over all three. For
 * 30 subcommands: 1,500, then 2,500, then 3,000.
 */
export function planData(schema: CliSchema, batch: number, wanted?: number): DataPlan {
  const subcommands = schema.commands.reduce((n, c) => n + c.subcommands.length, 0);
  const phrased = PHRASINGS * COMBINATIONS * subcommands;
  const rows = wanted ?? Math.round(phrased / 0.6 * 1.2);
  const withContext = Math.round(0.6 * rows);
  const negative = Math.round(0.2 * rows);
  const train = Math.floor(0.9 * rows + 1e-9);
  return {
    subcommands,
    phrased,
    rows,
    withContext,
    withoutContext: rows - withContext - negative,
    negative,
    edge: Math.round(rows - rows / 1.2),
    train,
    val: rows - train,
    calls: Math.ceil(rows / batch),
  };
}
