import { join } from "node:path";
import { z } from "zod";
import { Exit, Fail } from "../../base/fail.ts";
import { humanSeconds } from "../../base/text.ts";
import { Follower } from "../../report/follow.ts";
import { type EvalPoint, numbers, type RunEvent, type StepPoint } from "../../report/record.ts";
import { type Standing, theRun } from "../../report/registry.ts";
import { command } from "../command.ts";
import type { Io } from "../io.ts";
import { rootField, runField } from "./runs.ts";
import { TrainView } from "../train/view.ts";

/** Between two looks at the run, milliseconds. */
const EVERY = 250;
/** Looks between two at whether the run's process still lives. */
const ALIVE_EVERY = 8;

export const runsWatch = command({
  stops: true,
  examples: ["whet runs watch first", "whet runs watch ./runs/first --json | jq .loss"],
  details:
    "Follows a run that another process trains, on this machine, until it ends; Ctrl-C stops looking and " +
    "not the run. With --json every event of the run, those that were before too. Exit 11 where the run " +
    "failed or was killed.",
  settings: z.strictObject({ run: runField(), root: rootField() }),
  async run({ run: given, root }, io) {
    const { path, record: { manifest } } = theRun(given, root);
    const follower = new Follower(join(path, "metrics.jsonl"));
    const every = Number(manifest.settings.log_every ?? 1);
    const screen = new Screen(io, manifest.steps, every);
    let looks = 0, standing: Standing | undefined;
    for (;;) {
      screen.show(follower.read(), looks > 0);
      if (standing !== undefined && standing !== "running") break;
      if (io.stop.requested || io.closed) return;
      if (looks++ % ALIVE_EVERY === 0 || screen.ended) standing = theRun(path, root).standing;
      // What was written before it ended is read once more above.
      if (standing === "running") await Bun.sleep(EVERY);
    }
    io.progress();
    const { seconds, error, best } = theRun(path, root).record.manifest;
    if (standing === "failed" || standing === "killed") {
      throw new Fail(`the run ${path} ${standing === "failed" ? "failed" : "was killed"}`, {
        why: error ?? "its process is gone and wrote no end",
        fix: "go on with it: the same command with --resume",
        exit: Exit.remote,
      });
    }
    io.out(
      `${standing}: ${screen.step} of ${manifest.steps} steps` +
        (seconds === undefined ? "" : ` in ${humanSeconds(seconds)}`) +
        (best ? `, best val loss ${best.val_loss.toFixed(4)} at step ${best.step}` : ""),
    );
  },
});

/** What is seen of a run from outside. */
class Screen {
  #view: TrainView;
  step = 0;
  /** The run has told its end. */
  ended = false;

  constructor(private readonly io: Io, private readonly steps: number, every: number) {
    this.#view = new TrainView(io, steps, every);
  }

  /** @param now whether these happened while somebody watched; else only the last state is shown */
  show(events: readonly RunEvent[], now: boolean) {
    const last = events.findLastIndex(({ event }) => event === "step");
    events.forEach((event, i) => {
      this.io.result(event);
      this.#one(event, now, i === last);
    });
  }

  #one({ event, v: _, ...fields }: RunEvent, now: boolean, latest: boolean) {
    if (event === "start") this.ended = false;
    else if (event === "end") this.ended = true;
    else if (event === "step") {
      const point = numbers<StepPoint>(fields);
      this.step = point.step;
      if (now || latest) this.#view.step(point);
      else this.#view.seen(point);
    } else if (event === "eval") this.#view.measured(numbers<EvalPoint>(fields), now);
    else if (event === "warn" && now) this.io.note(`warning: ${String(fields.message)}`);
  }
}
