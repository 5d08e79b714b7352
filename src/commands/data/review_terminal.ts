import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { JsonError } from "../../base/strict_json.ts";
import { progressBar, wrap } from "../../base/text.ts";
import type { Act, Batch, Item } from "../../data/review.ts";
import { folded, type SeenRow, unfolded } from "../../data/review_row.ts";
import type { Io } from "../io.ts";
import { conflict } from "./review_decisions.ts";

/** What a session asks of a person. */
export interface Person {
  /** One key, as soon as it is pressed; Ctrl-C and Ctrl-D are "q". */
  key(): Promise<string>;
  /** A line; undefined where it was broken off. */
  line(question: string, filled?: string): Promise<string | undefined>;
  /** A text after the person changed it, or undefined where they did not. */
  edit(text: string): Promise<string | undefined>;
}

const REASONS = [
  "wrong answer",
  "unnatural request",
  "says the same as another",
  "private or unsafe",
];

const HELP = "a approve  e edit  r reject  s skip  u undo  q quit";

/**
 * Shows the waiting items one after the other and writes down each decision as it is made.
 * @returns when none is left, all that are left were skipped, or the person quits
 */
export async function reviewInTerminal(
  batch: Batch,
  by: string,
  seen: (text: string) => SeenRow,
  person: Person,
  io: Io,
): Promise<void> {
  const { items, id } = batch.facts;
  const skipped = new Set<number>(), done: { item: number; seq: number }[] = [];
  io.say(io.paint("bold", id) + `\n${batch.facts.source}. ${HELP}`);
  /** @returns whether it was taken; the person is told where not */
  const decide = async (act: Act): Promise<boolean> => {
    const [outcome] = await batch.decide(by, [act]);
    const { taken, item } = outcome!;
    if (!taken) {
      io.say(io.paint("yellow", conflict(item, act) ?? "somebody else has decided it anew"));
    } else if (act.what !== "undo") done.push({ item: act.item, seq: item.decision!.seq });
    return taken;
  };
  for (let at = 1; at <= items; at++) {
    batch.refresh();
    let item = batch.item(at);
    if (item.decision || skipped.has(at)) continue;
    for (let shown = false; !item.decision;) {
      const view = seen(item.now);
      if (!shown) io.say(screen(item, view, batch, io));
      shown = true;
      const key = (await person.key()).toLowerCase();
      if (key === "q" || io.stop.requested) return;
      if (key === "s") {
        skipped.add(at);
        break;
      }
      if (key === "a") {
        if (view.problems.length > 0) {
          io.say(io.paint("red", "it could not be trained: e edits it, r rejects it"));
        } else if (await decide({ item: at, what: "approve" })) {
          io.say(io.paint("green", "approved"));
        }
      } else if (key === "e") {
        const text = await edited(item.now, seen, person, io);
        if (text === undefined) io.say("left as it is");
        else if (await decide({ item: at, what: "edit", text })) {
          io.say(io.paint("green", "approved as edited"));
        }
      } else if (key === "r") {
        const reason = await reasonOf(person, io);
        if (reason === undefined) io.say("not rejected");
        else if (await decide({ item: at, what: "reject", reason })) {
          io.say(io.paint("yellow", `rejected: ${reason}`));
        }
      } else if (key === "u") {
        const last = done.pop();
        if (!last) io.say("nothing to undo");
        else if (await decide({ item: last.item, what: "undo", of: last.seq })) {
          io.say(`item ${last.item} waits again`);
          at = last.item - 1;
          break;
        }
      } else io.say(HELP);
      item = batch.item(at);
    }
  }
}

function screen(item: Item, { parts, problems }: SeenRow, batch: Batch, io: Io): string {
  const { items } = batch.facts, decided = items - batch.counts.waiting;
  const bar = progressBar(decided / items, 20, io.ascii);
  const width = Math.min(io.width, 100);
  const lines = [
    "",
    io.paint("dim", (io.ascii ? "-" : "─").repeat(width)),
    `item ${item.item}  ${io.paint("dim", `${bar} ${decided} of ${items} decided`)}`,
  ];
  for (const { role, text } of parts) {
    const body = text.split("\n").flatMap((line) => wrap(line, width - 2));
    lines.push(io.paint("cyan", role), ...body.map((line) => `  ${printable(line)}`));
  }
  for (const problem of problems) lines.push(io.paint("red", `cannot be trained: ${problem}`));
  return lines.join("\n");
}

/** Text from a model must not move the cursor or paint: control characters are shown by their pictures. */
function printable(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (c) => c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "\ufffd",
  ).replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

async function reasonOf(person: Person, io: Io): Promise<string | undefined> {
  io.say(REASONS.map((reason, i) => `${i + 1} ${reason}`).join("  "));
  const told = await person.line("why (a number or words): ");
  return REASONS[Number(told) - 1] ?? (told?.trim() || undefined);
}

/** Asks again, with what was typed, until it can be trained or is given up. */
async function edited(
  text: string,
  seen: (text: string) => SeenRow,
  person: Person,
  io: Io,
): Promise<string | undefined> {
  for (let form = unfolded(text);;) {
    const changed = await person.edit(form);
    if (changed === undefined) return undefined;
    form = changed;
    let wrong: readonly string[];
    try {
      const row = folded(changed, text);
      wrong = seen(row).problems;
      if (wrong.length === 0) return row;
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      wrong = [error.message];
    }
    for (const problem of wrong) io.say(io.paint("red", problem));
    io.say("e edits on, any other key gives it up");
    if ((await person.key()).toLowerCase() !== "e") return undefined;
  }
}

/** The person at the terminal. */
export function terminalPerson(io: Io): Person {
  const { stdin } = process;
  return {
    async key() {
      stdin.setRawMode(true);
      stdin.resume();
      const pressed = await new Promise<string>((resolve) => {
        stdin.once("data", (bytes) => resolve(bytes.toString()));
        stdin.once("end", () => resolve("q"));
      });
      stdin.setRawMode(false);
      stdin.pause();
      stdin.removeAllListeners("end");
      return ["\u0003", "\u0004"].includes(pressed[0]!) ? "q" : pressed.slice(0, 1);
    },
    async line(question, filled) {
      const reader = createInterface({ input: stdin, output: process.stderr });
      const closed = new Promise<undefined>((resolve) =>
        reader.once("close", () => resolve(undefined))
      );
      reader.once("SIGINT", () => reader.close());
      try {
        const answer = reader.question(question);
        if (filled !== undefined) reader.write(filled);
        return await Promise.race([answer, closed]);
      } finally {
        reader.close();
      }
    },
    async edit(text) {
      const editor = process.env.VISUAL || process.env.EDITOR;
      if (!editor) {
        io.say("on one line (with $EDITOR set, that program opens):");
        const line = await this.line("", JSON.stringify(JSON.parse(text)));
        return line === undefined || line.trim() === "" ? undefined : line;
      }
      const folder = mkdtempSync(join(tmpdir(), "whet-edit-")), file = join(folder, "row.json");
      try {
        writeFileSync(file, text + "\n", { mode: 0o600 });
        // As git does it: the variable may hold arguments.
        const child = Bun.spawn(["sh", "-c", `${editor} "$1"`, "sh", file], {
          stdio: ["inherit", "inherit", "inherit"],
        });
        if (await child.exited !== 0) {
          io.say(`${editor} ended with ${child.exitCode}`);
          return undefined;
        }
        const changed = readFileSync(file, "utf8").trim();
        return changed === "" || changed === text ? undefined : changed;
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}
