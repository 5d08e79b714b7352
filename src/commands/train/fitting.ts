import { type TokenRow, truncated } from "../../architectures/packed.ts";
import { quantOf } from "../../settings/model.ts";
import type { PlanSettings } from "../../settings/plan.ts";
import type { TrainSettings } from "../../settings/train.ts";
import { extra, prepare, type Prepared } from "../../trainer/prepare.ts";
import { objectiveOf } from "../../trainer/program.ts";

/** Settings with which a run would fit in the memory that it is planned for. */
export interface Way {
  /** As typed: "--quant nf4 --double-quant". */
  readonly flags: string;
  /** Device bytes the run would take. */
  readonly total: number;
  /** What else it means: "12 rows longer than that". */
  readonly note?: string;
}

type Settings = Omit<TrainSettings | PlanSettings, "model">;
type Change = Partial<
  Pick<
    Settings,
    | "full"
    | "grad_checkpoint"
    | "micro_tokens"
    | "compute"
    | "quant"
    | "double_quant"
    | "rank"
    | "max_seq"
  >
>;

/** How many ways are told. */
const MOST = 3;

/**
 * Settings that would make a run fit, each planned, those that cost the least quality first: computing
 * blocks again and smaller micro-batches cost none, activations in f16, a base in 4 bits and a lower rank
 * little, shorter rows lose text. Of each kind the mildest that is enough, then stronger ones; where no
 * single one is, several together.
 * @returns none where nothing is enough
 */
export function waysToFit(p: Prepared, settings: Settings): Way[] {
  const longest = p.recipe.positions;
  const lengths = [4096, 2048, 1024, 512, 256, 128].filter((n) => n < longest);
  const kinds: Change[][] = [
    settings.grad_checkpoint === "off" ? [{ grad_checkpoint: "auto" }] : [],
    settings.micro_tokens === undefined ? [] : [{ micro_tokens: undefined }],
    settings.compute === "f32" ? [{ compute: "f16" }] : [],
    settings.full ? [{ full: false }] : quants(settings),
    settings.full ? [] : [16, 8, 4].filter((n) => n < settings.rank).map((rank) => ({ rank })),
    lengths.map((max_seq) => ({ max_seq })),
  ];
  const ways: Way[] = [];
  let first: Change | undefined;
  /** Adds the way of a change where there is room for one more and it is enough. */
  const enough = (change: Change) => {
    const way = ways.length < MOST ? planned(p, settings, change) : undefined;
    if (way) first ??= change;
    return way !== undefined && ways.push(way) > 0;
  };
  const stronger = kinds.flatMap((kind) => {
    const mildest = kind.findIndex(enough);
    return mildest < 0 ? [] : kind.slice(mildest + 1);
  });
  stronger.forEach(enough);
  if (first) {
    const besides = kinds.slice(4).filter((kind) => !kind.includes(first!));
    for (const [mildest] of besides) if (mildest) enough({ ...first, ...mildest });
    return ways;
  }
  // Each kind's last word together, one kind after the other.
  let together: Change = settings.full ? { full: false } : {};
  const more = (change: Change | undefined) => together = { ...together, ...change };
  for (const [change] of kinds.slice(0, 3)) more(change);
  const changes = [
    more(quants({ ...settings, ...together }).at(-1)),
    more(settings.rank > 4 ? { rank: 4 } : {}),
    ...lengths.map((max_seq) => ({ ...together, max_seq })),
  ];
  changes.some(enough);
  return ways;
}

/** Smaller ways to keep the base, the least lossy first. */
function quants({ quant, double_quant }: Pick<Settings, "quant" | "double_quant">): Change[] {
  const all: Change[] = [
    { quant: "none" },
    { quant: "int8" },
    { quant: "nf4" },
    { quant: "nf4", double_quant: true },
  ];
  return all.slice(double_quant ? 4 : 1 + all.findIndex((way) => way.quant === quant));
}

/** The way of a change, where the run fits with it. */
function planned(p: Prepared, before: Settings, change: Change): Way | undefined {
  const settings = { ...before, ...change };
  const model = { ...p.model, quant: quantOf(settings), compute: settings.compute };
  const targets = settings.full || p.targets.length > 0
    ? p.targets
    : model.architecture.defaultTargets;
  const cut = (rows: readonly TokenRow[]) => rows.map((row) => truncated(row, settings.max_seq));
  const { rows, validation, budget } = p;
  const objective = objectiveOf(p.recipe);
  const way = prepare(model, cut(rows), cut(validation), targets, settings, budget, objective);
  if (!way.fits) return undefined;
  const longer = rows.filter((row) => truncated(row, settings.max_seq) !== row).length;
  const notes = [
    ...(longer > 0 && rows.length > longer ? [`${longer} of ${rows.length} rows are longer`] : []),
    ...(extra(way) > 0.1 ? [moreWork(way)] : []),
  ];
  return {
    flags: typed(change),
    total: way.plan.bytes.total,
    note: notes.length > 0 ? notes.join("; ") : undefined,
  };
}

/** "33 % more work", "3.1 times the work". */
export function moreWork(p: Prepared): string {
  const share = extra(p);
  return share < 1
    ? `${Math.round(100 * share)} % more work`
    : `${(1 + share).toFixed(1)} times the work`;
}

function typed(change: Change): string {
  return Object.entries(change).map(([key, value]) => {
    const flag = `--${key.replaceAll("_", "-")}`;
    if (value === undefined || value === false) return `without ${flag}`;
    return value === true ? flag : `${flag} ${value}`;
  }).join(" ");
}
