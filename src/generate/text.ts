import type { Tokenizer } from "../text/tokenizer.ts";
import type { Answer, Generation } from "./job.ts";

/**
 * Text up to the first stop string. What could be the beginning of one is held back until it is known.
 */
export class StopText {
  #held = "";
  #stopped = false;

  constructor(readonly stops: readonly string[]) {}

  get stopped(): boolean {
    return this.#stopped;
  }

  /** What is certain after this piece; nothing after a stop. */
  push(piece: string): string {
    if (this.#stopped) return "";
    const text = this.#held + piece;
    const found = this.stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#stopped = true;
      this.#held = "";
      return text.slice(0, Math.min(...found));
    }
    const from = text.length - this.#beginning(text);
    this.#held = text.slice(from);
    return text.slice(0, from);
  }

  /** What is held back when nothing more comes. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Length of the longest end of a text with which a stop begins. */
  #beginning(text: string): number {
    const most = Math.max(0, ...this.stops.map((stop) => stop.length - 1));
    for (let n = Math.min(most, text.length); n > 0; n--) {
      const end = text.slice(text.length - n);
      if (this.stops.some((stop) => stop.startsWith(end))) return n;
    }
    return 0;
  }
}

export interface TextAnswer extends Answer {
  /** Without the stop string that ended it; the ids have its tokens. */
  readonly text: string;
}

/**
 * Reads an answer as text while it is made, and ends it at a stop string, over as many tokens as that may
 * stretch.
 * @param told given each piece of text when it is certain
 */
export async function readText(
  generation: Generation,
  tokenizer: Tokenizer,
  stops: readonly string[] = [],
  told?: (piece: string) => void,
): Promise<TextAnswer> {
  const decoder = tokenizer.decoder({ skipSpecial: true }), until = new StopText(stops);
  let text = "", taken = 0;
  const add = (piece: string) => {
    text += piece;
    if (piece !== "") told?.(piece);
  };
  for await (const id of generation) {
    taken++;
    add(until.push(decoder.push(id)));
    if (!until.stopped) continue;
    generation.cancel();
    break;
  }
  if (!until.stopped) add(until.push(decoder.flush()));
  if (!until.stopped) add(until.flush());
  const { ids, finish, at, milliseconds } = await generation.answer;
  if (!until.stopped) return { text, ids, finish, at, milliseconds };
  return {
    text,
    ids: ids.slice(0, taken),
    finish: "stop",
    at: at.slice(0, taken),
    milliseconds: at[taken - 1] ?? milliseconds,
  };
}
