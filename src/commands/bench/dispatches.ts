import { add } from "../../../kernels/add/add.ts";
import type { Device } from "../../gpu/device.ts";
import { Graph } from "../../graph/graph.ts";
import { Memory } from "../../graph/memory.ts";
import { Runner } from "../../graph/runner.ts";
import { summary } from "./statistics.ts";

/** What replaying a recorded step costs beside its arithmetic. Microseconds a dispatch, medians. */
export interface DispatchCost {
  readonly dispatches: number;
  /** Until all is handed to the device: what the host pays. */
  readonly host_us: number;
  /** Until the device is done with them. */
  readonly done_us: number;
}

/** Replays a chain of sums of 64 numbers, each of which waits for the one before. */
export async function measureDispatches(
  device: Device,
  rounds: number,
  dispatches = 1024,
): Promise<DispatchCost> {
  const g = new Graph(), x = g.input("x", [64], "f32");
  let y = x;
  for (let i = 0; i < dispatches; i++) y = g.add(add, [y, x], null)[0]!;
  const memory = new Memory(device);
  const runner = await Runner.prepare("dispatches", memory, g.nodes, [y]);
  try {
    const host: number[] = [], done: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const began = performance.now();
      await runner.run();
      const handed = performance.now();
      await device.done();
      if (round === 0) continue; // the first compiles
      host.push((1000 * (handed - began)) / dispatches);
      done.push((1000 * (performance.now() - began)) / dispatches);
    }
    return { dispatches, host_us: summary(host).median, done_us: summary(done).median };
  } finally {
    runner.free();
    memory.free();
  }
}
