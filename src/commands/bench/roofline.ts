import { Exit, Fail } from "../../base/fail.ts";
import { suggest } from "../../base/text.ts";

/** The most that a device can do: Williams, Waterman and Patterson 2009, "Roofline". */
export interface Roofline {
  readonly name: string;
  /** f32 multiply and add of the shader cores, FLOP/s. */
  readonly flops: number;
  /** Products of f16 matrices with sums in f32, dense, FLOP/s, where there are units for it. */
  readonly matrixFlops?: number;
  /** Bytes/s. */
  readonly bandwidth: number;
  /** Where the figures are from. */
  readonly source: string;
  /** Achieved by the simplest kernels on this machine rather than promised by the maker. */
  readonly measured?: boolean;
}

/** name, f32 TFLOP/s, f16 matrix TFLOP/s (0: none), GB/s, source, further names that adapters have */
type Row = readonly [string, number, number, number, string, ...string[]];

/** Lanes times two for a multiply-add times the boost clock: what makers call peak. */
const tera = (lanes: number, ghz: number) => (lanes * 2 * ghz) / 1000;

/** GeForce since the 30 series: tensor cores with sums in f32 do twice the work of the lanes. */
function geforce(name: string, lanes: number, ghz: number, bandwidth: number): Row {
  const f32 = tera(lanes, ghz);
  const source = `${lanes} lanes × 2 × ${ghz} GHz; tensor cores with f32 sums: twice that`;
  return [name, f32, 2 * f32, bandwidth, source];
}

/** Apple: matrices are multiplied at the rate of the lanes, 128 a core. */
function apple(name: string, cores: number, ghz: number, bandwidth: number): Row {
  const source = `${cores} cores × 128 lanes × 2 × ${ghz} GHz`;
  return [name, tera(128 * cores, ghz), 0, bandwidth, source];
}

const table: readonly Row[] = [
  geforce("RTX 3060", 3584, 1.777, 360),
  geforce("RTX 3070", 5888, 1.725, 448),
  geforce("RTX 3080", 8704, 1.71, 760),
  geforce("RTX 3090", 10_496, 1.695, 936),
  geforce("RTX 4060", 3072, 2.46, 272),
  geforce("RTX 4070", 5888, 2.475, 504),
  geforce("RTX 4080", 9728, 2.505, 717),
  geforce("RTX 4090", 16_384, 2.52, 1008),
  geforce("RTX 5080", 10_752, 2.617, 960),
  geforce("RTX 5090", 21_760, 2.407, 1792),
  ["A100 80GB", 19.5, 312, 2039, "NVIDIA's data sheet, SXM", "A100-SXM4-80GB"],
  ["H100", 66.9, 989, 3350, "NVIDIA's data sheet, SXM", "H100 80GB HBM3"],
  ["H200", 66.9, 989, 4800, "NVIDIA's data sheet, SXM"],
  ["RX 7900 XTX", 61.4, 122.8, 960, "6144 lanes × 2 × 2.5 GHz, two at a time; matrices twice that"],
  ["Arc A770", 19.7, 131, 560, "4096 lanes × 2 × 2.4 GHz; matrices: half of the int8 rate"],
  ["Arc B580", 13.7, 116.5, 456, "2560 lanes × 2 × 2.67 GHz; matrices: half of the int8 rate"],
  apple("M1", 8, 1.28, 68),
  apple("M1 Max", 32, 1.27, 400),
  apple("M2", 10, 1.4, 100),
  apple("M2 Max", 38, 1.4, 400),
  apple("M4 Max", 40, 1.58, 546),
];

/** "NVIDIA GeForce RTX 4090 (NVK)" -> "rtx 4090". */
function bare(name: string): string {
  return name.toLowerCase()
    .replaceAll(/\([^)]*\)|nvidia|geforce|\bamd\b|radeon|intel|\barc\b|apple|graphics/g, " ")
    .replaceAll(/\s+/g, " ").trim();
}

const rooflineOf = (row: Row): Roofline => ({
  name: row[0],
  flops: row[1] * 1e12,
  ...(row[2] > 0 ? { matrixFlops: row[2] * 1e12 } : {}),
  bandwidth: row[3] * 1e9,
  source: row[4],
});

/** The entry for an adapter's full name; nothing for a name that is only like one ("Laptop", "SUPER"). */
export function matchRoofline(adapter: string): Roofline | undefined {
  const wanted = bare(adapter);
  const found = table.find(([name, , , , , ...also]) =>
    [name, ...also].some((n) => bare(n) === wanted)
  );
  return found && rooflineOf(found);
}

/**
 * The entry that a person names.
 * @throws Fail (usage) that lists the known ones
 */
export function namedRoofline(name: string): Roofline {
  const found = matchRoofline(name);
  if (found) return found;
  const names = table.map(([known]) => known), near = suggest(name, names);
  throw new Fail(`the peaks of "${name}" are not known`, {
    why: `known are ${names.join(", ")}${near ? `; did you mean "${near}"?` : ""}`,
    fix: "name one of these, or leave --roofline out: the peaks of this machine are then measured",
    exit: Exit.usage,
  });
}

/** Seconds below which no kernel can do this much arithmetic on this many bytes. */
export function bound(roof: Roofline, flops: number, bytes: number, matrix = false): number {
  const peak = matrix ? roof.matrixFlops ?? roof.flops : roof.flops;
  return Math.max(flops / peak, bytes / roof.bandwidth);
}
