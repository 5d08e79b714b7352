import { z } from "zod";
import { Exit, Fail } from "../base/fail.ts";
import { suggest } from "../base/text.ts";
import { checkDpo, dpoFields } from "./dpo.ts";
import { type Field, field, fieldsOf, fraction, fromText, whole } from "./field.ts";
import { check, trainFields } from "./train.ts";

/** What a sweep has beside the settings of its runs. */
const sweepFields = {
  grid: field(z.array(z.string()).min(1), {
    group: "Main",
    value: "KEY=A,B",
    help: "settings to vary, each with its values: --grid lr=1e-4,2e-4 rank=8,16; lists apart by |",
    many: true,
  }),
  one_at_a_time: field(z.boolean().default(false), {
    group: "Main",
    help: "vary one setting while the others keep their first value, instead of every combination",
  }),
  note: field(z.string().optional(), {
    group: "Main",
    value: "TEXT",
    help: "why this sweep is made; kept with its results",
  }),
  max_runs: field(whole(1).default(64), {
    group: "Main",
    value: "N",
    help: "refuse to begin a sweep of more runs",
  }),
  flat: field(fraction().default(0.01), {
    group: "Main",
    value: "F",
    help: "a change that improves the validation loss by a smaller share is not worth its cost",
  }),
};

/** Settings of a sweep: those of its runs, and what is varied. */
export const sweepSettings = z.strictObject({ ...trainFields, ...sweepFields }).superRefine(check);
export const sweepDpoSettings = z.strictObject({ ...dpoFields, ...sweepFields })
  .superRefine(checkDpo);

export type SweepSettings = z.output<typeof sweepSettings> | z.output<typeof sweepDpoSettings>;

/** What a sweep's runs are, as in `whet train KIND`. */
export type SweepKind = "sft" | "dpo";

/** What one run of a sweep has of its own, by setting, as typed. */
export type Choice = Readonly<Record<string, string>>;

const NEVER = [
  "output",
  "resume",
  "data",
  "val",
  "allow_change",
  "log_every",
  "keep",
  "report_to",
  "samples",
];

/** Settings that say what the loss of a pair is. */
const LOSS = ["loss_type", "beta", "label_smoothing", "reference", "reference_file"];

/**
 * The runs of a sweep in order: every combination (the last setting changes fastest), or with
 * `oneAtATime` the first values together, then each other value with the rest at their first.
 * @throws Fail (usage) for a setting that is not there, cannot vary, is named twice, or a value it refuses
 */
export function choicesOf(
  grid: readonly string[],
  oneAtATime: boolean,
  kind: SweepKind = "sft",
): Choice[] {
  const varied = grid.map((text) => parse(text, kind));
  const twice = varied.find(([key], i) => varied.findIndex(([other]) => other === key) !== i);
  if (twice) throw usage(`--grid names ${twice[0]} twice`, `write ${twice[0]}=A,B,C once`);
  const first = Object.fromEntries(varied.map(([key, values]) => [key, values[0]!]));
  if (oneAtATime) {
    return [
      first,
      ...varied.flatMap(([key, values]) => values.slice(1).map((v) => ({ ...first, [key]: v }))),
    ];
  }
  return varied.reduce<Choice[]>(
    (all, [key, values]) => all.flatMap((one) => values.map((v) => ({ ...one, [key]: v }))),
    [{}],
  );
}

function parse(text: string, kind: SweepKind): [key: string, values: string[]] {
  const equals = text.indexOf("=");
  if (equals < 1) {
    throw usage(`--grid ${text}: expected KEY=A,B`, "for example --grid lr=1e-4,2e-4 rank=8,16");
  }
  const typed = text.slice(0, equals).trim().replaceAll("-", "_");
  const can: readonly Field[] = fieldsOf(kind === "dpo" ? sweepDpoSettings : sweepSettings)
    .filter(({ key }) => !(key in sweepFields) && !NEVER.includes(key));
  const found = can.find((f) =>
    f.key === typed || f.info.aliases?.includes(typed.replaceAll("_", "-"))
  );
  if (kind === "dpo" && found && LOSS.includes(found.key)) {
    throw usage(
      `--grid ${found.key}: runs with another loss cannot be compared by their losses`,
      "train each of them with whet train dpo, and compare their rewards with whet runs compare",
    );
  }
  if (!found) {
    const near = suggest(typed, can.map((f) => f.key));
    throw usage(
      `--grid ${typed}: there is no such setting to vary`,
      near ? `did you mean ${near}?` : `whet train ${kind} --help lists them`,
    );
  }
  const rest = text.slice(equals + 1);
  const values = rest.split(rest.includes("|") || found.kind === "list" ? "|" : ",")
    .map((v) => v.trim()).filter((v, i, all) => v !== "" && all.indexOf(v) === i);
  if (values.length === 0) throw usage(`--grid ${text}: no values`, `write ${found.key}=A,B`);
  for (const value of values) {
    const { error } = found.schema.safeParse(fromText(found.schema, value));
    if (error) {
      throw usage(`--grid ${found.key}=${value}: ${error.issues[0]!.message}`, found.info.help);
    }
  }
  return [found.key, values];
}

const usage = (what: string, fix: string) => new Fail(what, { fix, exit: Exit.usage });
