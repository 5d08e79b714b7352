import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { basename, dirname, join } from "node:path";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, plural, thousands } from "../../base/text.ts";
import { jsonValues } from "../../data/json_values.ts";
import {
  Batch,
  createBatch,
  listBatches,
  requireReviewed,
  reviewCommand,
} from "../../data/review.ts";
import { type SeenRow, seenRow } from "../../data/review_row.ts";
import { type BadRow, badRows, byteStream } from "../../data/rows.ts";
import { dataReviewSettings } from "../../settings/data_review.ts";
import { command } from "../command.ts";
import type { Io } from "../io.ts";
import { schemaCheck } from "./review_check.ts";
import { findSchema } from "./schemas.ts";

export const dataReview = command({
  stops: true,
  examples: [
    "whet data review rows.jsonl --export approved.jsonl",
    "whet data review                               # which batches wait",
    "whet data review rows.jsonl --schema gh --web",
    "whet data review synthetic_gh_20261122_163752_1a2b3c --by ada",
    "whet data review rows.jsonl --decisions d.jsonl --export approved.jsonl",
  ],
  details:
    "Rows that no person wrote wait in a queue until one approves, edits or rejects each. A batch is a " +
    "folder: the rows, which cannot change, and decisions.jsonl, to which every decision is appended " +
    "with who and when; it is on the disk before the next item is shown. Several people may review one " +
    "batch at once: an item is decided once, and whoever comes second is told. A row that could not be " +
    "trained, or that breaks --schema, can be edited or rejected and not approved.\n" +
    "In the terminal e opens $VISUAL or $EDITOR. Exit 10 where rows wait and nobody is asked.",
  settings: dataReviewSettings,
  async run(settings, io) {
    if (settings.batch === "ls") return list(settings.queue, io);
    const { queue, id } = await found(settings, io);
    const batch = await Batch.open(queue, id);
    const check = schemaCheck(batch.schema);
    const seen = (text: string) => seenRow(text, check);
    const by = settings.by ?? userInfo().username;
    if (settings.decisions !== undefined) {
      const { applyDecisions } = await import("./review_decisions.ts");
      const { taken, before } = await applyDecisions(settings.decisions, batch, by, seen, io);
      io.note(
        `${plural(taken, "decision")} taken` +
          (before > 0 ? `, ${thousands(before)} were taken before` : ""),
      );
    } else if (!settings.non_interactive && batch.counts.waiting > 0) {
      await ask(batch, by, seen, settings, queue, io);
    }
    batch.refresh();
    await finish(batch, settings, queue, io);
  },
});

interface Settings {
  readonly batch: string;
  readonly queue: string;
  readonly schema?: string;
  readonly agent?: string;
  readonly export?: string;
  readonly web: boolean;
  readonly port: number;
  readonly non_interactive: boolean;
  readonly decisions?: string;
}

function list(queue: string, io: Io): void {
  const batches = listBatches(queue);
  io.result({ queue, batches });
  if (batches.length === 0) return io.out(`nothing waits in ${queue}`);
  io.out(columns([
    ["batch", "rows", "waiting", "approved", "edited", "rejected", "from"],
    ...batches.map(({ id, items, counts, source }) => [
      id,
      ...[items, counts.waiting, counts.approved, counts.edited, counts.rejected].map(thousands),
      source,
    ]),
  ], [1, 2, 3, 4, 5]));
  const next = batches.find(({ counts }) => counts.waiting > 0);
  if (next) io.note(`next: ${reviewCommand(queue, next.id)}`);
}

/** The batch that is meant: by its id, by its folder, or made of a file's rows. */
async function found(settings: Settings, io: Io): Promise<{ queue: string; id: string }> {
  const { batch, queue, agent } = settings;
  if (existsSync(join(queue, batch, "manifest.json"))) return { queue, id: batch };
  if (existsSync(join(batch, "manifest.json"))) {
    return { queue: dirname(batch), id: basename(batch) };
  }
  // Batch.open names the batches there are.
  if (!existsSync(batch)) {
    await Batch.open(queue, batch);
  }
  const rows: string[] = [], bad: BadRow[] = [];
  for await (const { line, text, value, problem } of jsonValues(byteStream(batch))) {
    const isRow = typeof value === "object" && value !== null && !Array.isArray(value);
    const reason = problem ?? (isRow ? undefined : "a row must be a JSON object");
    if (reason !== undefined) bad.push({ line, text, reason });
    else rows.push(text.includes("\n") ? JSON.stringify(value) : text.trim());
  }
  if (bad.length > 0) {
    const fix = `correct them, or leave them out: whet data check ${batch} --fix 1`;
    throw badRows(batch, bad, rows.length + bad.length, fix);
  }
  const schema = settings.schema === undefined ? undefined : findSchema(settings.schema).schema;
  const id = await createBatch(queue, {
    agent: agent ?? basename(batch).replace(/\.\w+$/, ""),
    source: basename(batch),
    rows,
    ...(schema ? { schema: { kind: schema.cli ? "yaml" : "json", text: schema.text } } : {}),
  });
  io.detail(`batch ${id} in ${queue}`);
  return { queue, id };
}

async function ask(
  batch: Batch,
  by: string,
  seen: (text: string) => SeenRow,
  settings: Settings,
  queue: string,
  io: Io,
): Promise<void> {
  if (settings.web) {
    const { openReviewPage } = await import("../../serve/review.ts");
    const page = openReviewPage(batch, by, seen, settings.port);
    io.note(`reviewing as ${by}: ${page.url}\nCtrl-C ends; every decision is kept`);
    io.event("review", { url: page.url });
    while (!io.stop.requested && !page.finished()) await Bun.sleep(100);
    await page.close();
    return;
  }
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    const to = reviewCommand(queue, batch.facts.id);
    throw new Fail("rows wait, and nobody is there to be asked", {
      why: "stdin or stderr is not a terminal",
      fix: `${to} in a terminal, or ${to} --web, or ${to} --decisions FILE`,
      exit: Exit.usage,
    });
  }
  const { reviewInTerminal, terminalPerson } = await import("./review_terminal.ts");
  await reviewInTerminal(batch, by, seen, terminalPerson(io), io);
}

/** Says how the batch stands, and writes what may train where that was asked for and is all there. */
async function finish(batch: Batch, settings: Settings, queue: string, io: Io): Promise<void> {
  const { counts, facts: { id, items } } = batch;
  const { waiting, approved, edited, rejected } = counts;
  const target = settings.export;
  const write = target !== undefined && waiting === 0 && approved > 0;
  if (write) await writeFile(target, batch.approved().map((row) => row + "\n"));
  io.result({ batch: id, queue, items, ...counts, exported: write ? target : null });
  io.out(
    `${id}: ${thousands(approved)} approved (${thousands(edited)} edited), ` +
      `${thousands(rejected)} rejected, ${thousands(waiting)} waiting`,
  );
  if (write) io.out(`${plural(approved, "row")} in ${target}`);
  if (waiting > 0) {
    if (target !== undefined || settings.non_interactive) requireReviewed(queue, id);
    io.note(`to go on: ${reviewCommand(queue, id)}`);
  } else if (target !== undefined && approved === 0) {
    throw new Fail(`no row of ${id} was approved`, {
      why: `all ${items} were rejected, so ${target} was not written`,
      fix: "generate others, or let items wait again with undo",
      exit: Exit.data,
    });
  }
}
