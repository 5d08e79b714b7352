import { nearest } from "./gguf_codec.ts";

const round = Math.fround;
/** Below this ggml takes all for zero. */
const negligible = round(1e-15);
const TOP = 63;
const tenth = round(0.1);

/**
 * Whole multiples 0..63 of one step that are nearest to scales (>= 0, float32) in the weighted squared
 * sense: the best of nine steps around largest / 63, then multiples changed one by one where that makes
 * the fit better, for five rounds at most (ggml make_qp_quants). Every operation rounds to float32.
 * @param to gets the multiples
 * @returns the step
 */
export function quantiseScales(x: Float32Array, weights: Float32Array, to: Uint8Array): number {
  let largest = 0;
  for (const value of x) if (value > largest) largest = value;
  if (largest < negligible) {
    to.fill(0);
    return 0;
  }
  const errorOf = (step: number, code: (i: number) => number) => {
    let error = 0;
    for (let i = 0; i < x.length; i++) {
      const off = round(x[i]! - round(step * code(i)));
      error = round(error + round(round(weights[i]! * off) * off));
    }
    return error;
  };
  let inverse = round(TOP / largest);
  for (let i = 0; i < x.length; i++) to[i] = nearest(round(inverse * x[i]!));
  let least = errorOf(round(1 / inverse), (i) => to[i]!);
  for (let candidate = -4; candidate <= 4; candidate++) {
    if (candidate === 0) continue;
    const other = round(round(round(tenth * candidate) + TOP) / largest);
    const error = errorOf(
      round(1 / other),
      (i) => Math.min(TOP, nearest(round(other * x[i]!))),
    );
    if (error < least) [least, inverse] = [error, other];
  }
  let [sumLX, sumL2] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    const code = Math.min(TOP, nearest(round(inverse * x[i]!))), w = weights[i]!;
    to[i] = code;
    sumLX = round(sumLX + round(round(w * x[i]!) * code));
    sumL2 = round(sumL2 + round(round(w * code) * code));
  }
  for (let turn = 0, changed = true; turn < 5 && changed; turn++) {
    changed = false;
    for (let i = 0; i < x.length; i++) {
      const w = weights[i]!, wx = round(w * x[i]!), code = to[i]!;
      let restLX = round(sumLX - round(wx * code));
      let restL2 = round(sumL2 - round(round(w * code) * code));
      if (!(restLX > 0 && restL2 > 0)) continue;
      const better = Math.min(TOP, nearest(round(round(x[i]! * restL2) / restLX)));
      if (better === code) continue;
      restLX = round(restLX + round(wx * better));
      restL2 = round(restL2 + round(round(w * better) * better));
      const ours = round(round(restLX * restLX) * sumL2);
      if (!(ours > round(round(sumLX * sumLX) * restL2))) continue;
      [to[i], sumLX, sumL2, changed] = [better, restLX, restL2, true];
    }
  }
  return sumL2 > 0 ? round(sumLX / sumL2) : 0;
}
