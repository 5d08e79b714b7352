import { join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";
import { writeFile } from "../../base/durable.ts";
import { plural, thousands } from "../../base/text.ts";
import { requestText } from "../../data/rows.ts";
import { Batch, listBatches, requireReviewed } from "../../data/review.ts";
import { type Analysis, tooLittle } from "../../data/select.ts";
import { commonOf, type CommonSettings } from "../../settings/common.ts";
import { generateSettings } from "../../settings/data_generate.ts";
import { resolve } from "../../settings/load.ts";
import { defaultMapping } from "../../settings/mapping.ts";
import type { TrainAutoSettings } from "../../settings/train_auto.ts";
import type { Io } from "../io.ts";

type Settings = TrainAutoSettings & CommonSettings;

/** More rows are asked for than are missing: a person will not approve all of them. */
const MORE = 1.25;

/**
 * Rows that were written for want of real ones and that a person approved; where there are too few, has
 * more written and stops until they are reviewed.
 * @param approved real rows, from which the form of answers is learnt
 * @throws Fail (approval, exit 10) while a batch waits; (data) where nobody can write rows
 */
export async function syntheticRows(
  settings: Settings,
  approved: readonly unknown[],
  analysis: Analysis,
  io: Io,
): Promise<readonly unknown[]> {
  const { queue, min_sft } = settings, agent = settings.agent ?? "rows";
  const batches = listBatches(queue).filter((batch) => batch.agent === agent);
  const waiting = batches.find(({ counts }) => counts.waiting > 0);
  if (waiting) requireReviewed(queue, waiting.id);
  const rows: unknown[] = [], seen = new Set(approved.map(keyOf));
  for (const { id } of batches) {
    for (const text of (await Batch.open(queue, id)).approved()) {
      const row = asExample(JSON.parse(text), id, settings), key = keyOf(row);
      if (!seen.has(key)) rows.push(row);
      seen.add(key);
    }
  }
  const missing = min_sft - approved.length - rows.length;
  if (missing <= 0) {
    io.note(
      `${plural(rows.length, "synthetic row")} that people approved ${
        rows.length === 1 ? "is" : "are"
      } trained too`,
    );
    return rows;
  }
  const teacher = settings.teacher;
  if (!settings.generate_synthetic || teacher === undefined) {
    const count = Math.ceil(missing * MORE);
    throw tooLittle(
      analysis,
      "llm",
      settings.generate_synthetic
        ? `collect more annotations; or have ${count} rows written, which a person then approves: ` +
          "--teacher anthropic, openai:MODEL or local:DIR"
        : undefined,
    );
  }
  if (settings.dry_run) {
    const count = settings.count ?? Math.ceil(missing * MORE);
    throw tooLittle(
      analysis,
      "llm",
      `without --dry-run ${teacher} writes ${count} rows for review`,
    );
  }
  await generate(settings, agent, approved, missing, batches.length + 1, io);
  requireReviewed(queue);
  return rows;
}

async function generate(
  settings: Settings,
  agent: string,
  approved: readonly unknown[],
  missing: number,
  turn: number,
  io: Io,
): Promise<void> {
  const { queue, teacher, max_cost, output_dir } = settings;
  const num = settings.count ?? Math.ceil(missing * MORE);
  const stem = join(output_dir, `synthetic_${agent}_${turn}`);
  let { schema } = settings;
  if (schema === undefined) {
    schema = `${stem}.schema.json`;
    await writeFile(schema, JSON.stringify(schemaOf(approved), null, 2) + "\n");
  }
  io.note(`${thousands(missing)} rows are missing: having ${thousands(num)} written by ${teacher}`);
  io.event("generate", { agent, rows: num, teacher, schema });
  const values = {
    schema,
    num,
    teacher,
    queue,
    max_cost,
    output: `${stem}.jsonl`,
    review: true,
    seed: turn,
  };
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
    .map(([key, value]) => ({ key, value, from: `--${key.replaceAll("_", "-")}` }));
  const { settings: own } = resolve(generateSettings, [given]);
  const { runGenerate } = await import("./generating.ts");
  await runGenerate({ ...commonOf(settings), ...own }, io, agent);
}

/** A row as the teacher wrote it, in the form of those that were extracted. */
function asExample(row: Record<string, unknown>, batch: string, { agent }: Settings): unknown {
  const { instruction, context, output, metadata, ...rest } = row;
  if (typeof instruction !== "string" || "input" in rest) return row;
  const asked = requestText(instruction, context ?? undefined);
  const about = { ...(metadata as object | undefined), synthetic: true, batch_id: batch };
  return agent === undefined ? { instruction: asked, input: "", output, metadata: about } : {
    instruction: defaultMapping.agents[agent].instruction,
    input: asked,
    output,
    metadata: about,
  };
}

function keyOf(row: unknown): string {
  const { metadata: _, ...rest } = row as Record<string, unknown>;
  return JSON.stringify(rest);
}

/** Answers of more different values than this are no choice among a few. */
const CHOICES = 50;

/**
 * A JSON Schema of the answers that were approved: a choice where there are few different ones, an object
 * with the keys that all have, else any text.
 * @throws Fail (data) without a single answer
 */
export function schemaOf(rows: readonly unknown[]): Record<string, unknown> {
  const answers = rows.flatMap((row) => {
    const { output, completion, response } = row as Record<string, unknown>;
    const answer = output ?? completion ?? response;
    return typeof answer === "string" ? [answer] : [];
  });
  if (answers.length === 0) {
    throw new Fail("it is not known what answers look like", {
      why: "no answer was approved yet, and no --schema was given",
      fix: "--schema FILE: a JSON Schema of the answers, or a CLI schema",
      exit: Exit.data,
    });
  }
  const instruction = (rows[0] as Record<string, unknown>).instruction;
  const description =
    `Answers to: ${typeof instruction === "string" ? instruction : "requests"}. ` +
    `Examples: ${answers.slice(0, 5).join(" | ")}`;
  const head = { $schema: "https://json-schema.org/draft/2020-12/schema", description };
  const objects = answers.map(objectIn);
  if (objects.every((one) => one !== undefined)) {
    const keys = Object.keys(objects[0]!).filter((key) => objects.every((one) => key in one));
    const properties = Object.fromEntries(
      [...new Set(objects.flatMap((one) => Object.keys(one)))].map((key) => [
        key,
        valueSchema(objects.flatMap((one) => key in one ? [one[key]] : [])),
      ]),
    );
    return { ...head, type: "object", properties, required: keys, additionalProperties: false };
  }
  const distinct = [...new Set(answers)].sort();
  return distinct.length <= Math.min(CHOICES, Math.max(1, answers.length / 2))
    ? { ...head, type: "string", enum: distinct }
    : { ...head, type: "string", minLength: 1 };
}

function valueSchema(values: readonly unknown[]): Record<string, unknown> {
  const kinds = new Set(
    values.map((v) => Array.isArray(v) ? "array" : v === null ? "null" : typeof v),
  );
  const [kind] = kinds;
  if (kinds.size !== 1 || kind === "null") return {};
  const distinct = [...new Set(values)].sort() as string[];
  return kind === "string" && distinct.length <= Math.max(1, values.length / 4)
    ? { type: "string", enum: distinct }
    : { type: kind };
}

function objectIn(text: string): Record<string, unknown> | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
