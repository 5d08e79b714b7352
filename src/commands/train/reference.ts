import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { tokensHash } from "../../data/hash.ts";
import { objectiveOf } from "../../trainer/program.ts";
import type { Trainer } from "../../trainer/trainer.ts";
import type { Io } from "../io.ts";
import type { PreparedRun, TokenRows } from "./prepared.ts";

/** Log-probabilities by a reference, as they are kept: of what model, adapter and rows they are. */
interface Kept {
  readonly format: 1;
  readonly model: string;
  readonly adapter: string | null;
  readonly data: string;
  readonly validation: string | null;
  /** Chosen and rejected of each row, those of the training rows first. */
  readonly logps: readonly number[];
}

/**
 * Gives rows the log-probabilities of their answers by the reference, where it is computed once: from
 * the file that has them, or into it. The trainer must hold the adapter that it begins with.
 * @throws Fail (data) for a file that belongs to another model, adapter or data
 */
export async function compareWith(
  settings: { readonly output: string; readonly reference_file?: string },
  trainer: Trainer,
  { prepared, data, validation }: PreparedRun,
  io: Io,
): Promise<void> {
  const { reference } = objectiveOf(prepared.recipe);
  if (!reference) return;
  const path = settings.reference_file ?? join(settings.output, "reference.json");
  const about = {
    format: 1,
    model: hashOf(prepared.model.folder.hash(), prepared.model.quant, prepared.model.compute),
    adapter: reference.adapter ? await adapterHash(trainer) : null,
    data: hashedTokens(data!),
    validation: validation ? hashedTokens(validation) : null,
  } as const;
  const rows = [...prepared.rows, ...prepared.validation];
  const known = existsSync(path) ? read(path, about, 2 * rows.length) : undefined;
  const logps = known ??
    [...await trainer.logps(rows, (done, of) => io.progress(`reference: ${done} of ${of}`))];
  io.progress();
  if (!known) await writeFile(path, JSON.stringify({ ...about, logps } satisfies Kept));
  trainer.compareWith(rows, logps);
}

const hashOf = (...of: unknown[]) => createHash("sha256").update(JSON.stringify(of)).digest("hex");

const hashedTokens = ({ rows }: TokenRows) => tokensHash(rows);

async function adapterHash(trainer: Trainer): Promise<string> {
  const hash = createHash("sha256");
  for (const [name, { data }] of await trainer.weights()) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/** What the file holds. @throws Fail (data) where it is not about these */
function read(path: string, about: Omit<Kept, "logps">, size: number): readonly number[] {
  const fix = "name another --reference-file, or remove this one to compute it again";
  let kept: Partial<Kept>;
  try {
    kept = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new Fail(`${path} holds no log-probabilities of a reference`, {
      why: String(cause),
      fix,
      exit: Exit.data,
      cause,
    });
  }
  const names = {
    format: "format",
    model: "model",
    adapter: "adapter",
    data: "training rows",
    validation: "validation rows",
  };
  const other = (Object.keys(names) as (keyof typeof names)[])
    .filter((key) => kept[key] !== about[key]).map((key) => names[key]);
  if (other.length > 0) {
    throw new Fail(`${path} is the reference of another ${other.join(", of other ")}`, {
      why: `log-probabilities say nothing about another model's answers`,
      fix,
      exit: Exit.data,
    });
  }
  const { logps } = kept;
  if (!Array.isArray(logps) || logps.length !== size || !logps.every(Number.isFinite)) {
    throw new Fail(`${path} is damaged`, {
      why: `expected ${size} numbers`,
      fix,
      exit: Exit.data,
    });
  }
  return logps;
}
