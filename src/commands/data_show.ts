import { Exit, Fail } from "../base/fail.ts";
import { plural, short, thousands } from "../base/text.ts";
import { Lengths } from "../data/lengths.ts";
import { type PreparedRow, prepareSft } from "../data/prepare.ts";
import { readDataset } from "../data/rows.ts";
import { dataShowSettings } from "../settings/data.ts";
import { mapOf } from "../settings/model.ts";
import { ignoredLabel } from "../text/prompt.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { openBase } from "./base_model.ts";
import { command } from "./command.ts";
import { histogram } from "./data_check.ts";
import { type Io, paints } from "./io.ts";
import { systemText, textsOf } from "./texts.ts";

export const dataShow = command({
  examples: [
    "whet data show rows.jsonl -m ./model --mask",
    "whet data show rows.jsonl -m ./model --row 17 --mask --tokens",
    "whet data show rows.jsonl -m ./model --n 0 --max-seq 1024 --overlong drop",
  ],
  details:
    "Reads and tokenises rows with the code that training uses, so what is shown is what the model " +
    "sees: begin and end tokens, the chat template, everything. --mask marks what is trained, green " +
    "on a terminal, else in 【 】 ([[ ]] where the terminal has only ASCII). Then how long all rows " +
    "are, and what --max-seq and --overlong would leave out or cut.",
  section: "data_show",
  settings: dataShowSettings,
  async run(settings, io) {
    const { data, model: dir, mask, max_seq, overlong, n } = settings;
    const { tokenizer, template } = await textsOf(dir, settings.template);
    const model = await openBase(dir);
    const { vocab, context } = model.sizes;
    model.folder.close();
    const name = data === "-" ? "stdin" : data;
    const { examples } = await readDataset(data, {
      map: mapOf(settings.map),
      system: systemText(settings.system),
      jsonIndent: settings.json_indent,
      vocabulary: vocab,
    });
    const common = { name, vocabulary: vocab, template };
    const whole = prepareSft(examples, tokenizer, {
      ...common,
      maxSeq: Infinity,
      overlong: "error",
    }).rows;
    const shown = settings.row === undefined
      ? whole.slice(0, n)
      : whole.filter(({ line }) => line === settings.row);
    if (settings.row !== undefined && shown.length === 0) {
      throw new Fail(`${name} has no row on line ${settings.row}`, {
        why: `its rows stand on lines ${whole[0]!.line} to ${whole.at(-1)!.line}`,
        fix: `--row ${whole[0]!.line}`,
        exit: Exit.usage,
      });
    }
    const limit = Math.min(max_seq, context);
    const marks = marksOf(io);
    for (const row of shown) {
      const { line, ids, labels, targets } = row;
      const seen = overlong === "truncate" ? ids.slice(0, limit) : ids;
      const weights = weightsOf(row);
      io.result({
        line,
        ids,
        labels,
        text: tokenizer.decode([...ids], { skipSpecial: false }),
        trained: trainedTexts(tokenizer, row),
        ...(weights ? { weights } : {}),
      });
      io.out(
        `line ${line}: ${plural(ids.length, "token")}, ${thousands(targets)} trained` +
          (ids.length <= limit ? "" : `, longer than ${limit}: ${fate(overlong)}`),
      );
      if (settings.tokens) io.out(tokenLines(tokenizer, row, mask, marks));
      else {io.out(
          runs(row, seen.length).map((run) => runText(tokenizer, run, mask, marks)).join(""),
        );}
      io.out("");
    }
    const lengths = new Lengths();
    for (const { ids } of whole) lengths.add(ids.length);
    const over = lengths.over(limit);
    const after = over === 0 || overlong === "error"
      ? undefined
      : prepareSft(examples, tokenizer, { ...common, maxSeq: limit, overlong }).report;
    const tokens = whole.reduce((sum, { ids }) => sum + ids.length, 0);
    const trained = whole.reduce((sum, { targets }) => sum + targets, 0);
    io.result({
      rows: whole.length,
      tokens,
      trained,
      longest: lengths.longest,
      median: lengths.quantile(0.5),
      p95: lengths.quantile(0.95),
      bins: lengths.bins(),
      max_seq: limit,
      overlong: over,
      dropped: after?.dropped ?? 0,
      tokens_lost: after?.tokensLost ?? 0,
      ends_lost: after?.endsLost ?? 0,
    });
    io.out(
      `${name}: ${plural(whole.length, "row")}, ${thousands(tokens)} tokens, ${
        thousands(trained)
      } trained (${short((100 * trained) / tokens)} %)\n`,
    );
    io.out(histogram(lengths, "tokens", io.ascii));
    if (over === 0) io.out(`No row is longer than --max-seq ${limit}.`);
    else if (!after) {
      io.out(
        `${plural(over, "row")} longer than --max-seq ${limit}: training would refuse them ` +
          "(--overlong error); --overlong drop or truncate shows what those would cost.",
      );
    } else {
      io.out(
        `${plural(over, "row")} longer than --max-seq ${limit}: ${
          thousands(after.dropped)
        } left out, ${thousands(over - after.dropped)} cut, ${
          thousands(after.tokensLost)
        } tokens ` +
          `lost (${short((100 * after.tokensLost) / tokens)} %), ${
            plural(after.endsLost, "answer")
          } without their end.`,
      );
    }
  },
});

const fate = (overlong: "drop" | "error" | "truncate") =>
  ({
    drop: "it would be left out",
    error: "training would refuse it",
    truncate: "it would be cut",
  })[
    overlong
  ];

interface Marks {
  readonly open: string;
  readonly close: string;
}

/** How trained text is marked on stdout. */
function marksOf({ json, ascii }: Io): Marks {
  const colour = !json && paints(Boolean(process.stdout.isTTY), true, process.env);
  if (colour) return { open: "\x1b[32m", close: "\x1b[39m" };
  return ascii ? { open: "[[", close: "]]" } : { open: "【", close: "】" };
}

/** What each trained position counts, where rows say so. */
function weightsOf(row: PreparedRow): readonly number[] | undefined {
  return (row as { weights?: readonly number[] }).weights;
}

interface Run {
  readonly ids: readonly number[];
  readonly trained: boolean;
  readonly weight: number;
}

/** Neighbouring tokens that are trained alike. */
function runs(row: PreparedRow, length: number): Run[] {
  const found: { ids: number[]; trained: boolean; weight: number }[] = [];
  const weights = weightsOf(row);
  for (let i = 0; i < length; i++) {
    // The first token is predicted from nothing: whatever its label, it is not trained.
    const trained = i > 0 && row.labels[i] !== ignoredLabel;
    const weight = trained ? weights?.[i] ?? 1 : 1;
    const last = found.at(-1);
    if (last && last.trained === trained && last.weight === weight) last.ids.push(row.ids[i]!);
    else found.push({ ids: [row.ids[i]!], trained, weight });
  }
  return found;
}

function runText(tokenizer: Tokenizer, run: Run, mask: boolean, { open, close }: Marks): string {
  const text = tokenizer.decode([...run.ids], { skipSpecial: false });
  if (!mask || !run.trained) return text;
  return `${open}${text}${run.weight === 1 ? "" : ` ×${short(run.weight)}`}${close}`;
}

const trainedTexts = (tokenizer: Tokenizer, row: PreparedRow) =>
  runs(row, row.ids.length).filter(({ trained }) => trained)
    .map(({ ids }) => tokenizer.decode([...ids], { skipSpecial: false }));

function tokenLines(tokenizer: Tokenizer, row: PreparedRow, mask: boolean, marks: Marks): string {
  return row.ids.map((id, i) => {
    const trained = i > 0 && row.labels[i] !== ignoredLabel;
    const text = JSON.stringify(tokenizer.decode([id], { skipSpecial: false }));
    const shown = mask && trained ? `${marks.open}${text}${marks.close}` : text;
    return `${String(i).padStart(6)}  ${String(id).padStart(7)}  ${
      trained ? "trained" : "       "
    }  ${shown}`;
  }).join("\n");
}
