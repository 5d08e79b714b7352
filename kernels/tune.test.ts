import { expect, test } from "bun:test";
import type { Capabilities } from "../src/gpu/device.ts";
import { Graph, type Node, type Op } from "../src/graph/graph.ts";
import { testDevice } from "./check.ts";
import { add } from "./add/add.ts";
import { matmul } from "./matmul/matmul.ts";
import { choicesOf, tune } from "./tune.ts";

const device = await testDevice();
const gpu = test.skipIf(!device);

/** Two products of one kind, one of another, and an op without a choice. */
function record(): Node[] {
  const g = new Graph(), input = (name: string, shape: number[]) => g.input(name, shape, "f32");
  const x = input("x", [40, 32]), w = input("w", [24, 32]), v = input("v", [24, 28]);
  const y = matmul(g, x, w, { form: "nt" });
  const z = matmul(g, x, w, { form: "nt" });
  matmul(g, g.add(add, [y, z], null)[0]!, v, { form: "nn" });
  return g.nodes;
}
/** Of two kernels only: two pipelines to compile instead of ten. */
const two = (nodes: Node[]): Node[] =>
  nodes.map((node) => ({
    ...node,
    op: {
      ...node.op,
      launch: (n: Node, can: Capabilities) =>
        node.op.launch(n, can).map((launch) =>
          launch.choice
            ? { ...launch, choice: { ...launch.choice, ways: launch.choice.ways.slice(-2) } }
            : launch
        ),
    },
  }));

gpu("kinds of work are found, with how often they occur", () => {
  const found = choicesOf(record(), device!.capabilities);
  expect([...found].map(([kind, { times }]) => [kind, times])).toEqual([
    ["matmul nt f32 f32 32x32x32", 2],
    ["matmul nn f32 f32 32x32x32", 1],
  ]);
});

gpu("every kernel of every kind is measured, and the fastest taken", async () => {
  const before = device!.bytes, seen: number[] = [];
  const { tuned, timings } = await tune(device!, two(record()), {
    seconds: 60,
    told: (done, of) => {
      seen.push(done);
      expect(of).toBe(4);
    },
  });
  expect(seen).toEqual([0, 1, 2, 3]);
  expect(Object.keys(tuned).length).toBe(2);
  for (const [kind, way] of Object.entries(tuned)) {
    const mine = timings.filter((t) => t.kind === kind);
    expect(mine.length).toBe(2);
    expect(mine.every(({ ns }) => ns > 0 && ns < 1e9)).toBe(true);
    const taken = mine.find((t) => t.way === way)!;
    expect(taken.ns).toBeLessThanOrEqual(1.03 * Math.min(...mine.map(({ ns }) => ns)));
  }
  expect(device!.bytes).toBe(before);
});

gpu("a kernel that is far slower loses, and what is known is not measured", async () => {
  const nodes = two(record()).slice(0, 1);
  const { choice } = [...choicesOf(nodes, device!.capabilities).values()][0]!;
  const [slow, fast] = choice.ways as readonly [string, string];
  const op: Op = {
    ...nodes[0]!.op,
    launch: (n, can) =>
      nodes[0]!.op.launch(n, can).map((launch) => ({
        ...launch,
        // All workgroups but the first few are beyond the last tile.
        workgroups: can.tuned[choice.kind] === slow ? [50_000, 1, 1] : launch.workgroups,
      })),
  };
  const { tuned } = await tune(device!, [{ ...nodes[0]!, op }], { seconds: 60 });
  expect(tuned).toEqual({ [choice.kind]: fast });
  device!.useTuned(tuned);
  expect((await tune(device!, nodes, { seconds: 60 })).timings).toEqual([]);
  device!.useTuned({});
});

gpu("without time nothing is chosen", async () => {
  expect(await tune(device!, record(), { seconds: 0 })).toEqual({ tuned: {}, timings: [] });
});
