import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { plural, thousands } from "../../base/text.ts";
import {
  markOf,
  readWatermark,
  type Watermark,
  writeWatermark,
} from "../../data/phoenix/watermark.ts";
import { EMPTY_DATASET } from "../../data/rows.ts";
import { analyse, insufficient, type Method, WHY_FEW_PAIRS } from "../../data/select.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { type FromPhoenixSettings, fromPhoenixSettings } from "../../settings/telemetry.ts";
import { command } from "../command.ts";
import type { Io } from "../io.ts";
import {
  available,
  gather,
  type Gathered,
  lineOf,
  type Row,
  skipTable,
  sourceTable,
} from "./telemetry.ts";

type Settings = FromPhoenixSettings & CommonSettings;
type Kind = "sft" | "dpo" | "triplet";

/** What of all that was left out matters for a kind of rows. */
const ABOUT: Readonly<Record<Kind, readonly string[]>> = {
  sft: ["span", "annotation", "sft"],
  dpo: ["span", "annotation", "dpo"],
  triplet: ["triplet"],
};

export const dataFromPhoenix = command({
  examples: [
    "whet data from-phoenix --project cogniverse-tenant1 --agent routing -o rows.jsonl",
    "whet data from-phoenix spans.json --kind dpo -o pairs.jsonl --report report.json",
    "whet data from-phoenix spans.parquet annotations.parquet --kind sft -o rows.jsonl",
    "whet data from-phoenix --project search --kind triplet --hard-negatives above_threshold -o t.jsonl",
    "whet data from-phoenix --project p --since 7d --mapping phoenix.yaml -o rows.jsonl",
  ],
  details:
    "Answers that a person approved become examples; an approved and a rejected answer to one prompt, " +
    "on one span or on two, a pair; documents that a search found and people judged, triplets. The " +
    "server's address and key come from PHOENIX_ENDPOINT, PHOENIX_API_KEY and PHOENIX_CLIENT_HEADERS. " +
    "Every row says in its metadata which span, annotation and time it comes from.\n\n" +
    "The same call again, with the same --output, adds only what is new. --mapping is YAML, every key " +
    "optional:\n" +
    "  annotation: [user_feedback, correctness]     # default: any that a person gave\n" +
    "  approved: {labels: [approved, thumbs-up], min_score: 0.5}\n" +
    "  rejected: {labels: [rejected, thumbs-down], below_score: 0.5}\n" +
    "  conflict: label_wins                         # score_wins, skip\n" +
    "  prompt: [llm.input_messages, input.value]    # attributes, the first that is there\n" +
    "  answer: [llm.output_messages, output.value]\n" +
    "  edited_output: [metadata.response]           # of an annotation\n" +
    "  pair_by: [span, input]\n" +
    "  span: {kinds: [LLM, AGENT, CHAIN], name_contains: [routing]}",
  settings: fromPhoenixSettings,
  async run(settings, io) {
    const { files, output, force } = settings, online = files.length === 0;
    const markPath = settings.watermark ??
      (online && output ? `${output.replace(/\.jsonl?$/, "")}.watermark.json` : undefined);
    const mark = markPath === undefined || !online || force ? undefined : readWatermark(markPath);
    if (online && output && existsSync(output) && !mark && !force) {
      throw standsThere(output, markPath!);
    }
    const since = settings.since ??
      (mark?.until ? before(mark.until, settings.lookback) : undefined);
    const gathered = await gather(files, settings, io, since);
    if (mark) requireSame(mark, gathered, settings, markPath!);

    const kind = settings.kind !== "auto"
      ? settings.kind
      : mark?.kind as Kind ?? chosen(gathered, settings, io);
    const all = { sft: gathered.sft, dpo: gathered.dpo, triplet: gathered.triplets }[kind] as Row[];
    const taken = new Set(mark?.taken);
    const rows = all.filter((row) => !taken.has(markOf(row)));
    if (rows.length === 0 && !mark) throw nothing(gathered, kind);
    const lines = rows.map(lineOf);
    if (output === undefined) {
      for (const line of lines) {
        if (io.closed) break;
        io.data(line.slice(0, -1));
      }
    } else {
      // What a killed call wrote without setting the mark is there already.
      const old = mark && existsSync(output) ? readFileSync(output, "utf8") : "";
      const there = new Set(old.split("\n"));
      const fresh = lines.filter((line) => !there.has(line.slice(0, -1)));
      if (fresh.length > 0 || !mark) await writeFile(output, [old, ...fresh]);
    }
    if (markPath !== undefined && online) {
      const until = [mark?.until, gathered.newest].flatMap((time) => time ?? []).sort().at(-1);
      await writeWatermark(markPath, {
        format: 1,
        server: gathered.server!,
        project: gathered.project!,
        kind,
        agent: settings.agent ?? null,
        until: until ?? null,
        taken: [...taken, ...rows.map(markOf)],
      });
    }
    const report = reportOf(gathered, kind, rows.length, all.length - rows.length, output);
    if (settings.report !== undefined) {
      await writeFile(settings.report, JSON.stringify(report, null, 2) + "\n");
    }
    if (output !== undefined) io.result(report);
    const tell = (text: string) => output === undefined ? io.note(text) : io.out(text);
    tell(sourceTable(gathered));
    const skipped = skipTable(gathered, ABOUT[kind]);
    if (skipped) tell(`\nleft out\n${skipped}`);
    const known = all.length - rows.length;
    tell(
      `\n${plural(rows.length, `${kind} row`)}${output === undefined ? "" : ` in ${output}`}` +
        (known > 0 ? `; ${thousands(known)} were taken before` : ""),
    );
  },
});

/** A time so many days earlier. */
const before = (time: string, days: number) =>
  new Date(Date.parse(time) - days * 86_400_000).toISOString();

/** The kind for which there is enough, else the one that lacks least, with a warning. */
function chosen(gathered: Gathered, settings: Settings, io: Io): Kind {
  const { min_sft: sft, min_dpo: dpo, min_triplets: triplets } = settings;
  const least = { sft, dpo, triplets }, found = available(gathered);
  const llm = analyse(found, least, "llm"), search = analyse(found, least, "embedding");
  const kinds: Record<Method, Kind> = { sft: "sft", dpo: "dpo", embedding: "triplet" };
  for (const { recommended_method: method } of [llm, search]) {
    if (method !== "insufficient") return kinds[method];
  }
  const share: [Method, number][] = [
    ["dpo", found.pairs / dpo],
    ["sft", found.approved / sft],
    ["embedding", found.triplets / triplets],
  ];
  const method = share.reduce((a, b) => b[1] > a[1] ? b : a)[0];
  io.warn("WH0314", insufficient(llm, method), "--kind says which rows to make all the same");
  return kinds[method];
}

function reportOf(
  { source, server, project, counts, skips, ...found }: Gathered,
  kind: Kind,
  rows: number,
  known: number,
  output: string | undefined,
) {
  return {
    source,
    server: server ?? null,
    project: project ?? null,
    ...counts,
    kind,
    rows,
    taken_before: known,
    output: output ?? null,
    found: {
      sft: found.sft.length,
      dpo: found.dpo.length,
      triplets: found.triplets.length,
    },
    skipped: skips.list(),
  };
}

function standsThere(output: string, mark: string): Fail {
  return new Fail(`${output} is there already`, {
    why: `there is no ${mark}, which would say what of the project is in it`,
    fix: "name another file with -o, or --force to write it anew",
    exit: Exit.usage,
  });
}

function requireSame(
  mark: Watermark,
  { server, project }: Gathered,
  settings: Settings,
  path: string,
) {
  const { agent, kind } = settings;
  const differs = mark.server !== server
    ? `it is of ${mark.server}, now ${server} was asked`
    : mark.project !== project
    ? `it is of the project ${mark.project}, now ${project} was asked for`
    : kind !== "auto" && mark.kind !== kind
    ? `it is of ${mark.kind} rows, now ${kind} rows are wanted`
    : mark.agent !== (agent ?? null)
    ? `it is of ${mark.agent ? `the agent ${mark.agent}` : "all spans"}`
    : undefined;
  if (differs === undefined) return;
  throw new Fail(`${path} belongs to other rows`, {
    why: differs,
    fix: "another -o, or --force to begin afresh",
    exit: Exit.usage,
  });
}

function nothing({ counts, skips }: Gathered, kind: Kind): Fail {
  const first = skips.list().filter(({ what }) => ABOUT[kind].includes(what));
  const why = counts.spans === 0
    ? "there are no spans"
    : `of ${plural(counts.spans, "span")}, ${plural(counts.annotations, "annotation")}: ` +
      first.slice(0, 4).map(({ count, reason }) => `${thousands(count)} ${reason}`).join("; ");
  return new Fail(EMPTY_DATASET, {
    why: kind === "dpo" ? `${why}\n${WHY_FEW_PAIRS}` : why,
    fix: "Ensure you have approved annotations in Phoenix; --mapping says which count",
    exit: Exit.data,
  });
}
