/** Ollama's Modelfile: what must be said beside the weights so that a question is asked as it was trained. */
import type { ChatTemplate, Message } from "../text/chat_template.ts";

/** What the model was trained under, as far as it is known; see the prompt lock of a run. */
export interface TrainedPrompt {
  /** The one system prompt of all rows. */
  readonly system?: string;
  /** null: rows were no conversations, prompts stand alone. */
  readonly template_sha256?: string | null;
}

export interface ModelfileOptions {
  /** As it is to stand behind FROM. */
  readonly from: string;
  readonly template: ChatTemplate | undefined;
  /** Ollama begins every prompt with it by itself where the file says so; undefined where it does not. */
  readonly bos: string | undefined;
  /** Texts that end an answer. */
  readonly stops: readonly string[];
  /** Longest sequence of the model, tokens. */
  readonly context: number;
  readonly prompt?: TrainedPrompt;
}

/** Ollama cuts prompts at its own default without a word; more than this costs memory few need. */
const CONTEXT = 8192;

/**
 * The text of a Modelfile. Ollama guesses the template of a GGUF file from a list of its own and sends the
 * bare prompt where it knows none, so it is written out; and it penalises repetition unless told not to,
 * which changes greedy answers.
 * @returns the text, and what could not be said in it, in whole sentences
 */
export function modelfile(options: ModelfileOptions): { text: string; warnings: string[] } {
  const { from, template, bos, stops, context, prompt } = options;
  const warnings: string[] = [];
  let asked = "{{ .Prompt }}";
  if (prompt?.template_sha256 !== null && template) {
    const parts = partsOf(template, bos);
    const wrong = parts === undefined ? ["every"] : differences(parts, template, bos);
    if (wrong.length > 0) {
      warnings.push(
        `Ollama's templates cannot say what this model's chat template does (${
          wrong.join(", ")
        }); ` +
          "the Modelfile comes as near as it can",
      );
    }
    if (parts) asked = goTemplate(parts);
  }
  const lines = [
    `FROM ${from}`,
    `TEMPLATE """${asked}"""`,
    ...prompt?.system === undefined ? [] : [`SYSTEM """${prompt.system}"""`],
    ...stops.map((stop) => `PARAMETER stop ${JSON.stringify(stop)}`),
    `PARAMETER num_ctx ${Math.min(context, CONTEXT)}`,
    "PARAMETER temperature 0",
    "PARAMETER repeat_penalty 1",
  ];
  if (prompt?.system?.includes('"""')) {
    warnings.push(
      'The system prompt holds """, which ends a text in a Modelfile: correct it by hand',
    );
  }
  return { text: lines.join("\n") + "\n", warnings };
}

/** The texts between the messages of a conversation. */
interface Parts {
  /** Before a first user message without, and with a system message; the latter in two halves. */
  readonly first: string;
  readonly system?: readonly [before: string, after: string];
  /** After a user message, where an answer begins; what an earlier answer has before it besides. */
  readonly answer: string;
  readonly lead: string;
  /** After an answer; before a further user message. */
  readonly end: string;
  readonly next: string;
}

const marks = { system: "whetsystemmark", user: "whetusermark", assistant: "whetanswermark" };
const said = (roles: readonly (keyof typeof marks)[]): Message[] =>
  roles.map((role, i) => ({ role, content: `${marks[role]}${i}` }));

function rendered(
  template: ChatTemplate,
  bos: string | undefined,
  roles: readonly (keyof typeof marks)[],
  addGenerationPrompt: boolean,
): string | undefined {
  try {
    const text = template.render(said(roles), { addGenerationPrompt });
    return bos !== undefined && text.startsWith(bos) ? text.slice(bos.length) : text;
  } catch {
    return undefined; // a role that the template refuses
  }
}

/** The pieces of a text between the messages, undefined where one is missing or changed. */
function between(
  text: string | undefined,
  roles: readonly (keyof typeof marks)[],
): string[] | undefined {
  const pieces: string[] = [];
  let rest = text;
  for (const { content } of said(roles)) {
    const at = rest?.indexOf(content as string) ?? -1;
    if (at < 0) return undefined;
    pieces.push(rest!.slice(0, at));
    rest = rest!.slice(at + (content as string).length);
  }
  return [...pieces, rest!];
}

/** Reads the pieces off conversations with marks in them. */
function partsOf(template: ChatTemplate, bos: string | undefined): Parts | undefined {
  const read = (roles: readonly (keyof typeof marks)[], open = true) =>
    between(rendered(template, bos, roles, open), roles);
  const one = read(["user"]), two = read(["user", "assistant", "user"]);
  if (!one || !two) return undefined;
  const closed = read(["user", "assistant"], false)?.[2] ?? "";
  const end = two[2]!.startsWith(closed) ? closed : "";
  const system = read(["system", "user"]);
  return {
    first: one[0]!,
    answer: one[1]!,
    lead: two[1]!.startsWith(one[1]!) ? two[1]!.slice(one[1]!.length) : "",
    end,
    next: two[2]!.slice(end.length),
    ...(system ? { system: [system[0]!, system[1]!] as const } : {}),
  };
}

/** The same conversations said by the parts. */
function spoken(parts: Parts, roles: readonly (keyof typeof marks)[]): string | undefined {
  if (roles[0] === "system" && !parts.system) return undefined;
  return said(roles).map(({ role, content }, i) => {
    if (role === "system") return parts.system![0] + content;
    if (role === "assistant") return parts.lead + content + parts.end;
    const before = i === 0
      ? parts.first
      : i === 1 && roles[0] === "system"
      ? parts.system![1]
      : parts.next;
    return before + content + parts.answer;
  }).join("");
}

/** Which kinds of conversation the parts say otherwise than the template; none where all are the same. */
function differences(parts: Parts, template: ChatTemplate, bos: string | undefined): string[] {
  const kinds = {
    "a question": ["user"],
    "a question after a system prompt": ["system", "user"],
    "a second question": ["user", "assistant", "user"],
    "a third question": ["user", "assistant", "user", "assistant", "user"],
    "a second question after a system prompt": ["system", "user", "assistant", "user"],
  } as const;
  return Object.entries(kinds).filter(([, roles]) => {
    const wanted = rendered(template, bos, roles, true);
    // What the template itself refuses is nobody's to say.
    return wanted !== undefined && wanted !== spoken(parts, roles);
  }).map(([kind]) => kind);
}

/** A text as a Go template writes it: quoted, so that no space or line end is lost. */
const quoted = (text: string): string => text === "" ? "" : `{{ ${JSON.stringify(text)} }}`;

function goTemplate({ first, system, answer, lead, end, next }: Parts): string {
  const [before, after] = system ?? ["", next];
  const asked = first === next && after === next
    ? quoted(next)
    : `{{ if eq $i 0 }}${quoted(first)}{{ else if and (eq $i 1) $.System }}${quoted(after)}` +
      `{{ else }}${quoted(next)}{{ end }}`;
  return [
    "{{- range $i, $m := .Messages }}",
    `{{- if eq .Role "system" }}${quoted(before)}{{ .Content }}`,
    `{{- else if eq .Role "user" }}${asked}{{ .Content }}${quoted(answer)}`,
    `{{- else if eq .Role "assistant" }}${quoted(lead)}{{ .Content }}${quoted(end)}`,
    "{{- end }}",
    "{{- end }}",
  ].join("\n");
}
