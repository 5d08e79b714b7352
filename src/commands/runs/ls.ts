import { existsSync } from "node:fs";
import { z } from "zod";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, excerpt, humanBytes, humanSeconds, plural, short } from "../../base/text.ts";
import { findRuns, openRun, type Summary, summaryOf } from "../../report/registry.ts";
import { field, path } from "../../settings/field.ts";
import { command } from "../command.ts";

const ORDERS = ["started", "name", "status", "steps", "val_loss", "best", "time", "size"] as const;
type Order = typeof ORDERS[number];

/** What runs are sorted by; numbers rise, except the newest run, which stands first. */
const KEYS: Readonly<Record<Order, (run: Summary) => string | number | undefined>> = {
  started: ({ started }) => started && -Date.parse(started),
  name: ({ name }) => name,
  status: ({ status }) => status,
  steps: ({ step }) => step,
  val_loss: ({ val_loss }) => val_loss,
  best: ({ best }) => best,
  time: ({ seconds }) => seconds,
  size: ({ bytes }) => bytes,
};

const FILTERS = ["name", "kind", "model", "status", "tag"] as const;
const FILTER = new RegExp(`^(${FILTERS.join("|")})=.+$`);

export const runsLs = command({
  examples: [
    "whet runs ls",
    "whet runs ls ./experiments --sort best",
    "whet runs ls --filter status=finished,model=micro",
  ],
  details:
    "A run is a folder that whet train wrote. They are found wherever they are below the folder given; " +
    "there is no list besides the folders themselves. A run that was begun and neither ended nor still " +
    "runs is shown as killed, and one whose run.json cannot be read as damaged.",
  settings: z.strictObject({
    root: field(path().default("."), {
      value: "DIR",
      positional: 0,
      help: "where runs are looked for, four folders deep",
    }),
    sort: field(z.enum(ORDERS).default("started"), {
      group: "Main",
      help: `the order: ${ORDERS.join(", ")}`,
      value: "BY",
    }),
    reverse: field(z.boolean().default(false), { group: "Main", help: "the other way round" }),
    filter: field(
      z.array(z.string().regex(FILTER, `expected ${FILTERS.join("=, ")}=`)).default([]),
      {
        group: "Main",
        value: "KEY=TEXT",
        help: `only runs whose ${FILTERS.join(", ")} holds the text; several must all hold`,
      },
    ),
  }),
  // deno-lint-ignore require-await -- a command is
  async run({ root, sort, reverse, filter }, io) {
    if (!existsSync(root)) {
      throw new Fail(`there is no folder ${root}`, { fix: "whet runs ls DIR", exit: Exit.usage });
    }
    const runs = sorted(findRuns(root).map((at) => summaryOf(openRun(at))), sort, reverse)
      .filter((run) => filter.every((one) => holds(run, one)));
    io.result({ runs });
    if (runs.length > 0) io.out(tableOf(runs));
    else io.note(`no runs below ${root}; whet train writes them to -o`);
    const damaged = runs.filter(({ status }) => status === "damaged");
    for (const { path, problem } of damaged) io.note(`damaged: ${path}: ${excerpt(problem!, 120)}`);
    if (runs.length > 1) io.note(plural(runs.length, "run"));
  },
});

function sorted(runs: readonly Summary[], by: Order, reverse: boolean): Summary[] {
  const key = KEYS[by];
  const known = runs.filter((run) => usable(key(run)));
  known.sort((a, b) => {
    const [x, y] = [key(a)!, key(b)!];
    return x < y ? -1 : x > y ? 1 : a.path < b.path ? -1 : 1;
  });
  if (reverse) known.reverse();
  // Those that have no such thing stand last, either way.
  return [...known, ...runs.filter((run) => !usable(key(run)))];
}

const usable = (value: unknown) => value !== undefined && !Number.isNaN(value);

function holds(run: Summary, filter: string): boolean {
  const at = filter.indexOf("=");
  const key = filter.slice(0, at) as typeof FILTERS[number], text = filter.slice(at + 1);
  const value = key === "tag" ? run.tags.join(" ") : run[key] ?? "";
  return key === "status" ? value === text : value.toLowerCase().includes(text.toLowerCase());
}

function tableOf(runs: readonly Summary[]): string {
  const number = (n: number | undefined) => n === undefined ? "" : short(n);
  const head = [
    "run",
    "kind",
    "model",
    "status",
    "steps",
    "val loss",
    "best",
    "time",
    "size",
    "tags",
  ];
  const rows = runs.map((run) => [
    run.path,
    run.kind ?? "",
    excerpt(run.model ?? "", 24),
    run.status,
    run.steps === undefined
      ? ""
      : run.step === run.steps
      ? `${run.steps}`
      : `${run.step}/${run.steps}`,
    number(run.val_loss),
    number(run.best),
    run.seconds === undefined ? "" : humanSeconds(run.seconds),
    humanBytes(run.bytes),
    run.tags.join(" "),
  ]);
  return columns([head, ...rows], [4, 5, 6, 7, 8]);
}
