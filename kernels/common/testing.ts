import type { Capabilities } from "../../src/gpu/device.ts";
import type { Op } from "../../src/graph/graph.ts";

/**
 * The op with its grids in three rows, some workgroups too many: what happens above 65,535 workgroups,
 * at a size that a test can afford.
 */
export function folded<A>(op: Op<A>): Op<A> {
  return {
    ...op,
    launch: (node, can) =>
      op.launch(node, can).map((launch) => {
        const [x, y, z] = launch.workgroups;
        return { ...launch, workgroups: [Math.ceil((x * y + 1) / 3), 3, z] };
      }),
  };
}

/** The op as it is launched on a GPU, when the tests run on a CPU's adapter. */
export function onHardware<A>(op: Op<A>): Op<A> {
  return { ...op, launch: (node, can) => op.launch(node, { ...can, software: false }) };
}

/** The op as it is launched where one binding holds no more than `maxBinding` bytes. */
export function narrow<A>(op: Op<A>, maxBinding: number): Op<A> {
  return { ...op, launch: (node, can) => op.launch(node, { ...can, maxBinding }) };
}

/** The op as it is launched on this device, never as on a lesser one: for tests that would take long. */
export function asHere<A>(op: Op<A>): Op<A> {
  let here: Capabilities | undefined;
  return { ...op, launch: (node, can) => op.launch(node, here ??= can) };
}
