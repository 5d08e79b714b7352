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

const ADA = "NVIDIA Ada GPU architecture white paper, appendix A";
const GA102 = "NVIDIA Ampere GA102 GPU architecture white paper, appendix A";
const BLACKWELL = "NVIDIA RTX Blackwell GPU architecture white paper, appendix A";
const cores = (n: number, ghz: number) =>
  `${n} cores × 128 lanes × 2 × ${ghz} GHz; Apple's bandwidth`;

/** name, f32 TFLOP/s, f16 matrix TFLOP/s (0: none), GB/s, source, further names that adapters have */
type Row = readonly [string, number, number, number, string, ...string[]];
const table: readonly Row[] = [
  ["RTX 3060", 12.7, 25.6, 360, GA102],
  ["RTX 3070", 20.3, 40.6, 448, GA102],
  ["RTX 3080", 29.8, 59.5, 760, GA102],
  ["RTX 3090", 35.6, 71, 936, GA102],
  ["RTX 4060", 15.1, 30.2, 272, ADA],
  ["RTX 4070", 29.1, 58.3, 504, ADA],
  ["RTX 4080", 48.7, 97.5, 717, ADA],
  ["RTX 4090", 82.6, 165.2, 1008, ADA],
  ["RTX 5080", 56.3, 112.6, 960, BLACKWELL],
  ["RTX 5090", 104.8, 209.5, 1792, BLACKWELL],
  ["A100 80GB", 19.5, 312, 2039, "NVIDIA A100 data sheet, SXM", "A100-SXM4-80GB"],
  ["H100", 66.9, 989, 3350, "NVIDIA H100 data sheet, SXM", "H100 80GB HBM3"],
  ["H200", 66.9, 989, 4800, "NVIDIA H200 data sheet, SXM"],
  ["RX 7900 XTX", 61.4, 122.8, 960, "AMD product page"],
  ["Arc A770", 19.7, 131, 560, "Intel ARK: 4,096 lanes × 2 × 2.4 GHz; half of the int8 rate"],
  ["Arc B580", 13.7, 116.5, 456, "Intel ARK: 2,560 lanes × 2 × 2.67 GHz; half of the int8 rate"],
  ["M1", 2.6, 0, 68, cores(8, 1.28)],
  ["M1 Max", 10.4, 0, 400, cores(32, 1.27)],
  ["M2", 3.6, 0, 100, cores(10, 1.4)],
  ["M2 Max", 13.6, 0, 400, cores(38, 1.4)],
  ["M4 Max", 16.2, 0, 546, cores(40, 1.58)],
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
