import { isObject, type JsonObject } from "../base/strict_json.ts";
import type { AnswerSchema } from "../settings/answer_schema.ts";
import { compactAnswer } from "./accept.ts";
import type { Item, Task } from "./asking.ts";

/** A request of which the best answer is wanted. */
export interface Wanted extends Item {
  readonly prompt: string;
}

export interface Shape {
  readonly schema?: AnswerSchema;
  /** Answers are any text, not JSON. */
  readonly text: boolean;
  /** Requests with good answers, which show what is wanted. */
  readonly examples: readonly { readonly prompt: string; readonly answer: string }[];
}

const COMMANDS = `Where a request can be carried out, the answer is
{"type": "command", "command": "…", "subcommand": "…", "args": {"name": value}, "flags": ["name"], "confidence": 0.95}
with only what the schema has, every required argument, and nothing guessed; confidence 0.9 or more where \
nothing is in doubt, 0.7 to 0.9 where something was inferred. Where it cannot, the answer is
{"type": "clarification", "message": "one short question or remark", "suggestions": [{"label": "…", "command": "…", "subcommand": "…"}], "confidence": 0.6}
with confidence below 0.7. A second line of a request is its context.
`;

/**
 * Asking a teacher for the best answers to requests.
 * @param flaw says what is wrong with an answer, so that it is asked for again
 */
export function idealTask(
  { schema, text, examples }: Shape,
  flaw: (answer: string) => string | undefined,
): Task<Wanted> {
  return {
    noun: "ideal answers",
    prompt(items, faults) {
      const about = schema ? `\nAnswers must fit:\n\n\`\`\`\n${schema.text.trim()}\n\`\`\`\n` : "";
      const list = (title: string, lines: readonly string[]) =>
        lines.length === 0 ? "" : `\n${title}\n${lines.join("\n")}\n`;
      const shown = examples.map(({ prompt, answer }) => {
        const { value } = parsed(answer);
        return JSON.stringify({ prompt, answer: text ? answer : value ?? answer });
      });
      return `Give the best answer to each request below${text ? "" : ", as JSON"}.\n${about}${
        schema?.cli ? `\n${COMMANDS}` : ""
      }` +
        list("This is how good answers look:", shown) +
        list("Earlier answers broke rules; avoid this:", faults.map((one) => `- ${one}`)) +
        list("The requests:", items.map(({ id, prompt }) => JSON.stringify({ id, prompt }))) +
        `\nAnswer with a JSON array of one object for each request and nothing else:\n` +
        `[{"id": "…", "answer": ${text ? '"…"' : "{…}"}}]\n`;
    },
    read(_, { answer }: JsonObject) {
      if (answer === undefined || answer === null) return { why: "no answer" };
      const value = !text && typeof answer === "string" ? parsed(answer).value : answer;
      const written = text
        ? typeof answer === "string" ? answer.trim() : JSON.stringify(answer)
        : value === undefined
        ? String(answer)
        : JSON.stringify(value);
      const why = flaw(written);
      if (why !== undefined) return { why };
      return { text: !text && isObject(value) ? compactAnswer(schema, value) : written };
    },
  };
}

function parsed(text: string): { value?: unknown } {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return {};
  }
}
