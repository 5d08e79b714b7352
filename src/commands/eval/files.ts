import type { SftExample } from "../../data/rows.ts";
import { writeFile } from "../../base/durable.ts";
import { plural } from "../../base/text.ts";
import type { Judged } from "../../evaluate/judge.ts";
import { differencesOf } from "../../evaluate/measures.ts";
import type { EvalSettings } from "../../settings/eval.ts";
import type { Outcome } from "./outcome.ts";
import { evaluationPage } from "./page.ts";
import type { Io } from "../io.ts";

/** Writes what was asked for: the result, the page, every answer, the rows answered wrongly. */
export async function writeAll(settings: EvalSettings, outcome: Outcome, io: Io): Promise<void> {
  const { output, html, predictions, failures } = settings;
  const { answer, after: { judged }, examples } = outcome;
  if (output !== undefined) await writeFile(output, JSON.stringify(answer, null, 2) + "\n");
  if (predictions !== undefined) {
    await writeFile(predictions, judged.map((row) => JSON.stringify(prediction(row)) + "\n"));
    io.note(`${plural(judged.length, "answer")} in ${predictions}`);
  }
  if (failures !== undefined) {
    const wrong = judged.filter(({ right }) => !right);
    const byLine = new Map(examples.map((example) => [example.line, example]));
    await writeFile(
      failures,
      wrong.map((row) => JSON.stringify(failure(row, byLine.get(row.line))) + "\n"),
    );
    io.note(`${plural(wrong.length, "row")} in ${failures}`);
  }
  if (html !== undefined) {
    await writeFile(html, evaluationPage(settings, outcome));
    io.note(`a page in ${html}`);
  }
}

/** A row of the predictions file; `whet eval ab` reads the first fields, the others are for people. */
function prediction(row: Judged) {
  const { line, prompt, expected, predicted, milliseconds, tokens, nll, targets, slices } = row;
  return {
    line,
    prompt,
    expected,
    predicted,
    milliseconds,
    tokens,
    nll,
    targets,
    slices,
    right: row.right,
    json: row.json,
    problems: row.problems,
    slot_f1: row.f1,
    confidence: row.confidence,
    action: row.action,
  };
}

/**
 * A row answered wrongly, in a form that can be trained once its answer is what it should be: `predicted`
 * and `why` are for whoever corrects it and are passed over in training.
 */
function failure(row: Judged, example: SftExample | undefined) {
  const { prompt, expected, predicted, line } = row;
  const told = { predicted, why: why(row), line };
  return example && "messages" in example
    ? { messages: example.messages, ...told }
    : { prompt, completion: expected, ...told };
}

/** What is wrong with an answer, in words. */
export function why(row: Judged): string[] {
  if (row.want === undefined) return row.right ? [] : ["another text"];
  if (!row.json) return ["not JSON"];
  const show = (value: unknown) => value === undefined ? "nothing" : JSON.stringify(value);
  return [
    ...differencesOf(row).map(({ path, got, want }) =>
      `${path || "the answer"}: ${show(got)} instead of ${show(want)}`
    ),
    ...(row.problems ?? []).map((problem) => `schema: ${problem}`),
  ];
}
