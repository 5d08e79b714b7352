import { Fail } from "../../base/fail.ts";
import { changes, type Inputs, type PipelineRecord, type StageRecord } from "./record.ts";
import type { Pipeline, Stage } from "./stage.ts";

/** How a stage stands. */
export interface State {
  /**
   * done: its output is there, and made from what is there now. stale: made from something else. found:
   * there, but not as a pipeline made it. empty: there was nothing to make. idle: nothing to do. begun: to
   * be gone on with.
   */
  readonly kind: "done" | "stale" | "found" | "empty" | "idle" | "begun" | "missing";
  /** What it came to, or why it is idle. */
  readonly result?: string;
  /** What it is made from now; undefined where a stage before it has to come first. */
  readonly inputs?: Inputs;
  /** Since it was made or begun. */
  readonly changed: readonly string[];
  readonly output?: string;
  readonly record?: StageRecord;
}

/** The key of a stage in pipeline.json. */
export function keyOf({ name }: Stage, { asked }: Pipeline): string {
  return name === "quantize" || name === "eval" ? `${name} ${asked.quant}` : name;
}

/** Looks at the files and at what is recorded of a stage; changes nothing. */
export async function stateOf(stage: Stage, p: Pipeline, all: PipelineRecord): Promise<State> {
  const record = all.stages[keyOf(stage, p)];
  const idle = stage.idle?.(p, all);
  const output = await stage.output(p);
  const inputs = idle && output === undefined ? undefined : await inputsOf(stage, p);
  const changed = record && inputs ? changes(record.inputs, inputs) : [];
  const state = { inputs, changed, output, record };
  const result = record?.result;
  if (output === undefined) {
    if (record?.status === "empty") {
      return { ...state, kind: changed.length > 0 ? "missing" : "empty", result };
    }
    if (idle) return { ...state, kind: "idle", result: idle };
    return { ...state, kind: record?.status === "begun" ? "begun" : "missing" };
  }
  if (record?.status === "begun" && output === record.before) return { ...state, kind: "begun" };
  const ours = record?.status === "begun" || record?.output === output;
  if (!record || !ours) return { ...state, kind: "found", result: stage.told(p), changed: [] };
  return {
    ...state,
    kind: changed.length > 0 ? "stale" : "done",
    result: result ?? stage.told(p),
  };
}

/** Where a stage before it is missing there is nothing to compare. */
async function inputsOf(stage: Stage, p: Pipeline): Promise<Inputs | undefined> {
  try {
    return await stage.inputs(p);
  } catch (error) {
    if (error instanceof Fail) return undefined;
    throw error;
  }
}
