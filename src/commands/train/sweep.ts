import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve as absolute } from "node:path";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { lockFolder } from "../../base/lock.ts";
import { columns, humanBytes, humanSeconds, plural, short } from "../../base/text.ts";
import type { Device } from "../../gpu/device.ts";
import {
  type Compared,
  type ComparedRow,
  comparisonHtml,
  labelOf,
  rowsOf,
  verdicts,
  winner,
} from "../../report/comparison.ts";
import { readRun } from "../../report/folder.ts";
import type { CommonSettings } from "../../settings/common.ts";
import { type DpoSettings, dpoSettings } from "../../settings/dpo.ts";
import { fieldsOf } from "../../settings/field.ts";
import { resolve } from "../../settings/load.ts";
import {
  type Choice,
  choicesOf,
  sweepDpoSettings,
  type SweepKind,
  type SweepSettings,
  sweepSettings,
} from "../../settings/sweep.ts";
import { type TrainSettings, trainSettings } from "../../settings/train.ts";
import { command } from "../command.ts";
import type { Io } from "../io.ts";

type Settings = SweepSettings & CommonSettings;

export const sweep = command({
  section: "train",
  stops: true,
  dryRun: true,
  examples: [
    "whet sweep -m ./model -d rows.jsonl --val val.jsonl -o ./sweep --grid lr=1e-4,2e-4 rank=8,16",
    "whet sweep -m ./model -d rows.jsonl --val val.jsonl -o ./sweep --grid lr=1e-4,2e-4,3e-4 " +
    "epochs=1,3 --one-at-a-time --limit 500",
  ],
  details:
    "Trains once for each combination of the values of --grid, all else the same, each in a folder of " +
    "its own below -o, and compares them: sweep.json, and sweep.html with all curves. The same command " +
    "again goes on where it was stopped. A run that diverges is noted, and the sweep goes on.",
  settings: sweepSettings,
  run: (settings, io) => runSweep("sft", settings, io),
});

export const sweepDpo = command({
  section: "dpo",
  stops: true,
  dryRun: true,
  examples: [
    "whet sweep dpo -m ./model -d pairs.jsonl --val val.jsonl -o ./sweep --grid lr=5e-6,2e-5 rank=8,16",
  ],
  details:
    "As whet sweep, of runs of whet train dpo. What the loss is made of, such as --beta, is the same in all " +
    "runs: otherwise their losses could not be compared.",
  settings: sweepDpoSettings,
  run: (settings, io) => runSweep("dpo", settings, io),
});

async function runSweep(kind: SweepKind, settings: Settings, io: Io): Promise<void> {
  const choices = choicesOf(settings.grid, settings.one_at_a_time, kind);
  const runs = choices.map((choice, i) => runOf(kind, settings, choice, i, choices.length));
  if (runs.length > settings.max_runs) {
    throw new Fail(`this sweep has ${runs.length} runs, --max-runs allows ${settings.max_runs}`, {
      fix: "fewer values, --one-at-a-time, or a larger --max-runs",
      exit: Exit.usage,
    });
  }
  if (settings.dry_run) {
    for (const { choice, folder } of runs) io.out(`${folder}  ${labelOf(choice)}`);
    return io.result({ runs: runs.map(({ choice, folder }) => ({ choice, path: folder })) });
  }
  refuseStreams(settings);
  using _lock = await lockFolder(settings.output!);
  keep(settings, choices);
  let device: Device | undefined;
  try {
    for (const [i, run] of runs.entries()) {
      io.note(`\nrun ${i + 1} of ${runs.length}: ${labelOf(run.choice)}`);
      const known = ended(run.settings);
      if (known) {
        io.note(`${known} already`);
        continue;
      }
      device ??= await openFor(run.settings, settings, io);
      await make(run, settings, device, io);
      await tell(settings, runs, undefined);
      if (io.stop.requested) break;
    }
  } finally {
    device?.close();
  }
  await tell(settings, runs, io);
}

interface Run {
  readonly choice: Choice;
  readonly folder: string;
  readonly settings: (TrainSettings | DpoSettings) & { readonly output: string };
}

/** The settings of one run: those of the sweep, and its own. @throws Fail (usage) */
function runOf(
  kind: SweepKind,
  settings: Settings,
  choice: Choice,
  i: number,
  all: number,
): Run {
  if (settings.output === undefined) {
    throw new Fail("missing: --output", {
      why: "every run of a sweep has its folder below it",
      fix: "add -o DIR",
      code: "WH0207",
      exit: Exit.usage,
    });
  }
  const typed = settings as Readonly<Record<string, unknown>>;
  const schema = kind === "dpo" ? dpoSettings : trainSettings;
  const given = fieldsOf(schema)
    .filter((f) => JSON.stringify(typed[f.key]) !== JSON.stringify(f.default))
    .map((f) => ({ key: f.key, value: typed[f.key], from: f.flag }));
  const own = Object.entries(choice)
    .map(([key, value]) => ({ key, value, from: `--grid ${key}` }));
  const number = String(i + 1).padStart(String(all).length, "0");
  const name = `${number} ${labelOf(choice)}`.replace(/[^\w.=,+-]+/g, "-").slice(0, 120);
  const folder = join(settings.output, name);
  const output = { key: "output", value: folder, from: "--output" };
  const { settings: whole } = resolve<typeof trainSettings | typeof dpoSettings>(schema, [[
    ...own,
    output,
  ], given]);
  return { choice, folder, settings: { ...whole, output: folder } };
}

function refuseStreams({ data, val }: Settings) {
  if (data !== "-" && val !== "-") return;
  throw new Fail("a sweep reads its rows once for each run, and stdin can be read only once", {
    fix: "write the rows to a file, and name it with -d",
    exit: Exit.usage,
  });
}

/** What the sweep is, so that the same folder is never used for another. */
function keep(settings: Settings, choices: readonly Choice[]) {
  const path = join(settings.output!, "sweep.json");
  if (!existsSync(path)) return;
  let before: { runs?: { choice: Choice }[] } | undefined;
  try {
    before = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return; // it is written again
  }
  const same = JSON.stringify(before?.runs?.map((r) => r.choice)) === JSON.stringify(choices);
  if (same) return;
  throw new Fail(`${settings.output} holds another sweep`, {
    why: `its runs are ${
      before?.runs?.slice(0, 4).map((r) => labelOf(r.choice)).join("; ") ?? "unknown"
    }`,
    fix: "name another folder with -o, or give the same --grid to go on with it",
    exit: Exit.usage,
  });
}

/** Whether a run has come to its end with the settings it is to have. */
function ended({ output, ...wanted }: Run["settings"]): string | undefined {
  if (!existsSync(join(output, "run.json"))) return undefined;
  const { manifest } = readRun(output);
  if (manifest.status !== "finished" && manifest.status !== "early") return undefined;
  const told = manifest.settings;
  const differs = Object.entries(wanted).find(([key, value]) =>
    key !== "resume" && key !== "target" && (key !== "date" || value !== undefined) &&
    JSON.stringify(told[key] ?? null) !== JSON.stringify(value ?? null)
  );
  if (!differs) return manifest.status;
  throw new Fail(`${output} was made with another ${differs[0]}`, {
    why: `it has ${JSON.stringify(told[differs[0]])}, this sweep ${JSON.stringify(differs[1])}`,
    fix: "the same settings as before, or another -o",
    exit: Exit.usage,
  });
}

async function openFor(run: Run["settings"], settings: Settings, io: Io): Promise<Device> {
  const { prepareRun } = await import("./prepared.ts");
  const { openDevice } = await import("../machine/gpu.ts");
  const { prepared } = await prepareRun(run, io);
  prepared.model.folder.close();
  return await openDevice(settings, prepared.plan.parameters, io);
}

/** One run, gone on with where it was stopped. A run that diverges has its place in the comparison. */
async function make(run: Run, settings: Settings, device: Device, io: Io) {
  const { prepareRun } = await import("./prepared.ts");
  const { train } = await import("./training.ts");
  const begun = existsSync(join(run.folder, "checkpoints"));
  const own = { ...settings, ...run.settings, resume: begun ? "auto" : undefined, yes: !begun };
  try {
    await train(own, await prepareRun(own, io), io, device);
  } catch (error) {
    if (!(error instanceof Fail) || error.exit !== Exit.diverged) throw error;
    io.warn("WH0602", `${labelOf(run.choice)}: ${error.message}`);
  }
}

/** Writes what is known so far, and with `io` says it. */
async function tell(settings: Settings, runs: readonly Run[], io: Io | undefined) {
  const out = settings.output!;
  const compared = runs.flatMap(({ choice, folder }): Compared[] =>
    existsSync(join(folder, "run.json"))
      ? [{ choice, record: readRun(folder), path: basename(folder) }]
      : []
  );
  const rows = rowsOf(compared), best = winner(rows), said = verdicts(rows, settings.flat);
  const answer = {
    note: settings.note ?? null,
    best: best ? { choice: best.choice, path: join(out, best.path) } : null,
    verdicts: said,
    runs: runs.map(({ choice, folder }) => ({
      choice,
      path: folder,
      ...rows.find((row) => row.path === basename(folder)),
    })),
  };
  const page = join(out, "sweep.html");
  await writeFile(join(out, "sweep.json"), JSON.stringify(answer, null, 2) + "\n");
  const name = basename(absolute(out));
  await writeFile(page, comparisonHtml(name, settings.note, compared, settings.flat));
  if (!io) return;
  io.result(answer);
  io.out(`\n${table(rows, best)}`);
  if (said.length > 0) io.out(`\n${said.join("\n")}`);
  if (best) {
    io.out(`\nbest    ${labelOf(best.choice)}  ${join(out, best.path)}`);
    if (best.best_val_loss === undefined) {
      io.warn(
        "WH0603",
        "there were no validation rows: the runs are compared by training loss",
        "--val FILE",
      );
    }
  }
  const left = runs.length -
    rows.filter((r) => r.status === "finished" || r.status === "early").length;
  if (left > 0) io.out(`${plural(left, "run")} not at the end: the same command goes on`);
  io.out(`report  ${page}`);
}

function table(rows: readonly ComparedRow[], best: ComparedRow | undefined): string {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row.choice)))];
  const number = (n: number | undefined) => n === undefined ? "-" : short(n);
  return columns([
    ["", ...keys, "final val loss", "best perplexity", "time", "memory", ""],
    ...rows.map((row) => [
      String(row.run),
      ...keys.map((key) => row.choice[key] ?? "-"),
      number(row.val_loss),
      number(row.best_ppl),
      row.seconds === undefined ? "-" : humanSeconds(row.seconds),
      row.mem_bytes === undefined ? "-" : humanBytes(row.mem_bytes),
      row === best ? "best" : row.status === "finished" ? "" : row.status,
    ]),
  ], keys.flatMap((_, i) => [i + 1]).concat([1, 2, 3, 4].map((i) => keys.length + i)));
}
