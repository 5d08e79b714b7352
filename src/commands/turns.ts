/** What a line typed in a conversation means. */
export type Turn =
  | { readonly say: string }
  /** `text` is what follows the command, "" where nothing does. */
  | { readonly command: "reset" | "quit" | "help" | "system" | "save"; readonly text: string }
  | { readonly unknown: string };

/** Begins and ends a text of several lines. */
const FENCE = '"""';

/**
 * Lines as turns of a conversation: commands begin with a slash, a line that ends in a backslash goes on
 * with the next, and what stands between two """ is one text. Empty lines are no turns.
 * @param more called when a text goes on with the next line
 */
export async function* turnsOf(
  lines: AsyncIterable<{ readonly text: string }>,
  more: () => void,
): AsyncGenerator<Turn> {
  let parts: string[] = [], fenced = false;
  for await (const { text: line } of lines) {
    if (fenced) {
      const last = line.trimEnd();
      fenced = !last.endsWith(FENCE);
      parts.push(fenced ? line : last.slice(0, -FENCE.length));
    } else if (parts.length === 0 && line.trimStart().startsWith(FENCE)) {
      const text = line.trim().slice(FENCE.length);
      fenced = !text.endsWith(FENCE);
      parts.push(fenced ? text : text.slice(0, -FENCE.length));
    } else if (line.endsWith("\\")) {
      parts.push(line.slice(0, -1));
      more();
      continue;
    } else {
      if (parts.length === 0 && line.trimStart().startsWith("/")) {
        yield commandOf(line.trim());
        continue;
      }
      parts.push(line);
    }
    if (fenced) {
      more();
      continue;
    }
    const say = parts.join("\n").trim();
    parts = [];
    yield { say };
  }
  const rest = parts.join("\n").trim();
  if (rest !== "") yield { say: rest };
}

function commandOf(line: string): Turn {
  const [name, ...words] = line.split(" ") as [string, ...string[]], text = words.join(" ").trim();
  switch (name) {
    case "/system":
    case "/save":
    case "/reset":
    case "/quit":
    case "/help":
      return { command: name.slice(1) as "reset", text };
    case "/exit":
      return { command: "quit", text };
    default:
      return { unknown: name };
  }
}
