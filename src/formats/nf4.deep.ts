import { expect, test } from "bun:test";
import { normalFill } from "../base/random.ts";
import { BLOCK, dequantise, nf4Code, quantise } from "./nf4.ts";

/** The thresholds of bitsandbytes' CUDA decision tree, as written there. */
// deno-fmt-ignore
const thresholds = Float32Array.of(
  -0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544,
  -0.23460740596055984, -0.13791173323988914, -0.045525018125772476, 0.03979014977812767,
  0.1202552504837513, 0.2035212516784668, 0.2920137718319893, 0.3893125355243683,
  0.5016634166240692, 0.6427869200706482, 0.8614784181118011,
);

const f = Math.fround;

/** One block as its definition says: how many thresholds each scaled number is above. */
function plainly(x: Float32Array): { codes: number[]; scale: number } {
  let scale = 0;
  for (const v of x) if (Math.abs(v) > scale) scale = Math.abs(v);
  const inverse = f(1 / scale);
  const code = (v: number) => {
    const scaled = f(v * inverse);
    let above = 0;
    for (let i = 0; i < 15; i++) if (scaled > thresholds[i]!) above++;
    return above;
  };
  return { codes: Array.from(x, code), scale };
}

test("100 M random numbers, of many sizes, against the definition", () => {
  const n = 2 ** 21;
  let wrong = 0, seen = 0;
  for (let stream = 0; seen < 100e6; stream++) {
    const x = normalFill(11, stream, n, 10 ** (stream % 9 - 6));
    const q = quantise(x), values = dequantise(q, n);
    for (let from = 0; from < n; from += BLOCK) {
      const { codes, scale } = plainly(x.subarray(from, from + BLOCK));
      if (q.scales[from / BLOCK] !== scale) wrong++;
      for (let i = 0; i < BLOCK; i += 2) {
        if (q.codes[(from + i) / 2] !== (codes[i]! << 4 | codes[i + 1]!)) wrong++;
        if (values[from + i] !== f(nf4Code[codes[i]!]! * scale)) wrong++;
      }
    }
    seen += n;
  }
  expect(wrong).toBe(0);
}, 600_000);
