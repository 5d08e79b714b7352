/**
 * whet's fused matrix products beside onnxruntime-web's WebGPU backend: same adapter, same shapes, one
 * process, taking turns, so that whatever else the machine does disturbs all alike. Every contestant's
 * numbers are compared with float64 first. Its weights are a constant of the model, as in use.
 *
 *   bun run bench:peers [--shapes 1024x1024x1024,…] [--rounds 7] [--json] [--save DIR]
 */
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { matmulOp } from "../../kernels/matmul/matmul.ts";
import { toF16 } from "../../src/base/bits.ts";
import { normalFill } from "../../src/base/random.ts";
import { writeFile } from "../../src/base/durable.ts";
import { columns } from "../../src/base/text.ts";
import { parseProduct, type Product } from "../../src/commands/bench/cases.ts";
import { deviceSlug } from "../../src/commands/bench/results.ts";
import { summary } from "../../src/commands/bench/statistics.ts";
import { replay } from "../../src/commands/bench/timing.ts";
import { dequantise, quantise } from "../../src/formats/nf4.ts";
import { Device } from "../../src/gpu/device.ts";
import type { OneNode, OnnxType } from "./onnx.ts";
import { ortPeer, ortVersion, type Peer } from "./ort.ts";

const { values: flags } = parseArgs({
  options: {
    shapes: {
      type: "string",
      default: "1024x1024x1024,128x1536x576,128x8192x2048",
    },
    rounds: { type: "string", default: "7" },
    json: { type: "boolean", default: false },
    save: { type: "string" },
  },
});

interface Contestant {
  readonly name: string;
  /** What its weights are after rounding, [N, K]. */
  readonly weights: Float32Array;
  /** Relative to the largest number of the result. */
  readonly tolerance: number;
  open(): Promise<Peer>;
}

interface Line {
  readonly shape: string;
  readonly name: string;
  readonly best_gflops?: number;
  readonly median_gflops?: number;
  readonly error?: number;
  readonly missing?: string;
}

const device = await Device.open({ device: process.env.WHET_DEVICE });
const version = await ortVersion(), load = loadavg()[0]!;
const lines: Line[] = [];
for (const text of flags.shapes.split(",")) {
  const product = parseProduct(text);
  if (!product) throw new Error(`"${text}" is no MxNxK`);
  lines.push(...await contest(text, product));
}
const { adapter, driver } = device.capabilities;
const result = {
  format: 1,
  kind: "peers",
  date: new Date().toISOString(),
  adapter,
  driver,
  cpus: cpus().length,
  load,
  onnxruntime_web: version,
  rounds: Number(flags.rounds),
  lines,
};
const about = [
  `${adapter}, ${driver}`,
  `onnxruntime-web ${version}, ${result.date.slice(0, 10)}`,
  `best and median of ${flags.rounds}, taking turns; ${result.cpus} processors, ` +
  `load ${load.toFixed(1)} before it began`,
].join("\n");
const heads = ["shape", "kernel", "GFLOP/s best", "median", "whet nf4 is", "error"];
const rows = lines.map(cells);
console.log(
  flags.json ? JSON.stringify(result) : `${about}\n${columns([heads, ...rows], [2, 3, 4, 5])}`,
);
if (flags.save !== undefined) {
  const name = `${deviceSlug({ adapter, driver })}-${result.date.slice(0, 10)}-peers`;
  const path = join(flags.save, name);
  const table = [heads, heads.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  await writeFile(`${path}.json`, JSON.stringify(result, null, 1) + "\n");
  await writeFile(
    `${path}.md`,
    `# Beside onnxruntime-web\n\n\`bun run bench:peers\`\n\n${about.replaceAll(/^/gm, "- ")}\n\n` +
      `${table.join("\n")}\n`,
  );
  console.error(`written: ${path}.md and .json`);
}
device.close();
process.exit(0); // onnxruntime-web keeps its device open

/** The cells of one line; a contestant that could not run says why in the last. */
function cells({ shape, name, best_gflops, median_gflops, error, missing }: Line): string[] {
  if (best_gflops === undefined) return [shape, name, "", "", "", missing ?? ""];
  const ours = lines.find((line) => line.shape === shape && line.name === "whet nf4");
  return [
    shape,
    name,
    best_gflops.toFixed(1),
    median_gflops!.toFixed(1),
    ours?.median_gflops === undefined
      ? ""
      : `${(ours.median_gflops / median_gflops!).toFixed(2)} x`,
    error!.toExponential(0),
  ];
}

async function contest(shape: string, { M, N, K }: Product): Promise<Line[]> {
  const x = normalFill(1, 1, M * K), w = normalFill(1, 2, N * K, 0.02);
  const entered: {
    contestant: Contestant;
    peer: Peer;
    error: number;
    times: number[];
  }[] = [];
  const missing: Line[] = [];
  for (
    const contestant of [
      ...ours({ M, N, K }, x, w),
      ...theirs({ M, N, K }, x, w),
    ]
  ) {
    try {
      const peer = await contestant.open();
      const error = worst(await peer.result(), x, contestant.weights, {
        M,
        N,
        K,
      });
      if (!(error < contestant.tolerance)) {
        throw new Error(`wrong by ${error} of the largest`);
      }
      entered.push({ contestant, peer, error, times: [] });
    } catch (failure) {
      const said = failure instanceof Error ? failure.message : String(failure);
      missing.push({
        shape,
        name: contestant.name,
        missing: said.split("\n")[0]!.slice(0, 160),
      });
    }
  }
  for (const { peer } of entered) await peer.run();
  for (let round = 0; round < Number(flags.rounds); round++) {
    for (const { peer, times } of entered) times.push(await peer.run());
  }
  for (const { peer } of entered) await peer.free();
  const gflop = (2 * M * N * K) / 1e9;
  return [
    ...entered.map(({ contestant: { name }, error, times }) => {
      const { best, median } = summary(times);
      return {
        shape,
        name,
        best_gflops: gflop / best,
        median_gflops: gflop / median,
        error,
      };
    }),
    ...missing,
  ];
}

/** Largest difference from float64 in a spread of elements, relative to the largest of them. */
function worst(
  got: ArrayLike<number>,
  x: Float32Array,
  w: Float32Array,
  { M, N, K }: Product,
) {
  let largest = 0, off = 0;
  for (let at = 0; at < M * N; at += Math.max(1, Math.floor((M * N) / 499))) {
    const m = Math.floor(at / N), n = at % N;
    let want = 0;
    for (let k = 0; k < K; k++) want += x[m * K + k]! * w[n * K + k]!;
    largest = Math.max(largest, Math.abs(want));
    off = Math.max(off, Math.abs(got[at]! - want));
    if (Number.isNaN(got[at]!)) return NaN;
  }
  return off / largest;
}

function* ours(
  { M, N, K }: Product,
  x: Float32Array,
  w: Float32Array,
): Generator<Contestant> {
  for (const dtype of ["nf4", "f16", "f32"] as const) {
    const weights = dtype === "nf4"
      ? dequantise(quantise(w), w.length)
      : dtype === "f16"
      ? Float32Array.from(w, Math.f16round)
      : w;
    yield {
      name: `whet ${dtype}`,
      weights,
      tolerance: 1e-5,
      async open() {
        const made = await replay(device, {
          op: matmulOp,
          attrs: { form: "nt", alpha: 1, bias: false, add: false },
          inputs: [{ shape: [M, K], data: x }, {
            shape: [N, K],
            dtype,
            values: w,
          }],
        });
        return {
          run: async () => (await made.run(1)).wall,
          async result() {
            await made.run(1);
            const bytes = await made.result();
            return new Float32Array(bytes.slice().buffer);
          },
          free: () => Promise.resolve(made.free()),
        };
      },
    };
  }
}

function* theirs(
  { M, N, K }: Product,
  x: Float32Array,
  w: Float32Array,
): Generator<Contestant> {
  const columnMajor = new Float32Array(K * N);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) columnMajor[k * N + n] = w[n * K + k]!;
  }
  const node = (
    type: OnnxType,
    more: Pick<OneNode, "op" | "weights"> & Partial<OneNode>,
  ) => ({
    input: { name: "a", type, dims: [M, K] },
    output: { name: "y", type, dims: [M, N] },
    ...more,
  });
  for (const type of ["float32", "float16"] as const) {
    const half = type === "float16";
    yield {
      name: `onnxruntime-web MatMul ${half ? "f16" : "f32"}`,
      weights: w,
      tolerance: half ? 2e-2 : 1e-5,
      open: () =>
        ortPeer(
          node(type, {
            op: "MatMul",
            weights: [{
              name: "b",
              type,
              dims: [K, N],
              data: half ? toF16(columnMajor) : columnMajor,
            }],
          }),
          half ? toF16(x) : x,
        ),
    };
  }
  const coded = quantise(w);
  yield {
    name: "onnxruntime-web MatMulBnb4 nf4",
    weights: dequantise(coded, w.length),
    tolerance: 1e-5,
    open: () =>
      ortPeer(
        node("float32", {
          op: "MatMulBnb4",
          domain: "com.microsoft",
          attributes: {
            K,
            N,
            block_size: 64,
            quant_type: 1,
            transB: 1,
            training_mode: 0,
          },
          weights: [
            {
              name: "b",
              type: "uint8",
              dims: [coded.codes.length],
              data: coded.codes,
            },
            {
              name: "absmax",
              type: "float32",
              dims: [coded.scales.length],
              data: coded.scales,
            },
          ],
        }),
        x,
      ),
  };
  const block = 32, four = inFours(w, block);
  yield {
    name: "onnxruntime-web MatMulNBits 4",
    weights: four.rounded,
    tolerance: 1e-5,
    open: () =>
      ortPeer(
        node("float32", {
          op: "MatMulNBits",
          domain: "com.microsoft",
          attributes: { K, N, bits: 4, block_size: block },
          weights: [
            {
              name: "b",
              type: "uint8",
              dims: [N, K / block, block / 2],
              data: four.codes,
            },
            {
              name: "scales",
              type: "float32",
              dims: [(N * K) / block],
              data: four.scales,
            },
          ],
        }),
        x,
      ),
  };
}

/** Symmetric 4 bits as MatMulNBits reads them: (code - 8) · scale, the first code in the low half. */
function inFours(w: Float32Array, block: number) {
  const scales = new Float32Array(w.length / block),
    rounded = new Float32Array(w.length);
  const codes = new Uint8Array(w.length / 2);
  for (let b = 0; b < scales.length; b++) {
    const from = b * block;
    let high = 0;
    for (let i = from; i < from + block; i++) {
      high = Math.max(high, Math.abs(w[i]!));
    }
    const scale = scales[b] = Math.fround(high / 7);
    for (let i = from; i < from + block; i++) {
      const code = Math.round(w[i]! / scale) + 8;
      codes[i >> 1]! |= code << (4 * (i & 1));
      rounded[i] = (code - 8) * scale;
    }
  }
  return { codes, scales, rounded };
}
