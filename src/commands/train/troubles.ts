import { Exit, Fail } from "../../base/fail.ts";
import { columns } from "../../base/text.ts";
import { EMPTY_DATASET } from "../../data/rows.ts";

/** What goes wrong with trainings of this kind, why, and what helps. */
export const TROUBLES = {
  empty: [
    "Empty dataset error",
    "No approved annotations",
    "Generate synthetic or collect more data",
  ],
  memory: ["GPU OOM (DPO)", "Model too large", "Use smaller model or remote backend"],
  lora: [
    "LoRA failure",
    "Unsupported architecture",
    "Check logs, training continues with full fine-tuning",
  ],
  accuracy: ["Low accuracy", "Insufficient data", "Need more examples or better quality"],
  overfitting: ["Overfitting", "Too many epochs", "Reduce epochs or use validation split"],
} as const;

export type Trouble = keyof typeof TROUBLES;

/** The whole table. */
export const troubleTable = (): string =>
  columns([["Issue", "Cause", "Solution"], ...Object.values(TROUBLES)]);

/** One line of it. */
export function troubleTold(trouble: Trouble): string {
  const [issue, cause, solution] = TROUBLES[trouble];
  return `${issue}: ${cause}. ${solution}`;
}

function troubleOf({ message, exit }: Fail): Trouble | undefined {
  if (message === EMPTY_DATASET) return "empty";
  if (exit === Exit.memory) return "memory";
  return message.startsWith("this model has no module named") ? "lora" : undefined;
}

/** The error with its line of the table below what it says itself. */
export function withTrouble(error: unknown): unknown {
  if (!(error instanceof Fail)) return error;
  const trouble = troubleOf(error);
  if (trouble === undefined) return error;
  const { why, fix, exit, code } = error;
  const line = troubleTold(trouble);
  return new Fail(error.message, {
    why,
    fix: fix === undefined ? line : `${fix}\n${line}`,
    exit,
    code,
    cause: error,
  });
}
