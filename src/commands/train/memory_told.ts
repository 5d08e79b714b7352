import { Exit, Fail } from "../../base/fail.ts";
import { columns, humanBytes, progressBar } from "../../base/text.ts";
import type { RunBytes } from "../../trainer/plan.ts";
import { type Way, waysToFit } from "./fitting.ts";
import type { PreparedRun, RunSettings } from "./prepared.ts";

/** Where nothing helps. */
export const NO_WAY = "No setting makes it fit: a smaller model, or more memory";

/** Ways to fit, one a line. */
export function waysTold(ways: readonly Way[]): string {
  return columns(
    ways.map(({ flags, total, note }) => [flags, humanBytes(total), note ? `(${note})` : ""]),
    [1],
  );
}

/** Memory by part, one a line, and each part's share of the whole as a bar. */
export function parts(bytes: RunBytes, ascii: boolean): string {
  const { weights, adapter, gradients, optimizer, activations, scratch, total } = bytes;
  const all = { weights, adapter, gradients, optimizer, activations, scratch };
  const bar = (n: number) => progressBar(n / total, 40, ascii);
  return columns([
    ...Object.entries(all).map(([name, n]) => [name, humanBytes(n), bar(n)]),
    ["total", humanBytes(total), ""],
  ], [1]);
}

/**
 * Refuses a run that does not fit in its memory at the smallest that its settings allow, before anything
 * is loaded or written.
 * @throws Fail (memory) with the parts of what would be needed, and settings that would fit
 */
export function requireFit({ prepared, room }: PreparedRun, settings: RunSettings) {
  if (prepared.fits) return;
  const { bytes } = prepared.plan;
  const ways = waysToFit(prepared, settings);
  const [needed, there] = [humanBytes(bytes.total), humanBytes(room.bytes)];
  throw new Fail(`this run needs at least ${needed} of memory, it may take ${there}`, {
    why: `${room.what}\n${parts(bytes, true)}`,
    fix: ways.length > 0
      ? `one of\n${waysTold(ways)}`
      : `${NO_WAY[0]!.toLowerCase()}${NO_WAY.slice(1)}`,
    exit: Exit.memory,
  });
}
