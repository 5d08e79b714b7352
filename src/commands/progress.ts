import { humanBytes, progressBar } from "../base/text.ts";
import type { Io } from "./io.ts";

/** Shows weights being loaded, or whatever `what` says: how much of them, and how fast. */
export function loading(
  io: Io,
  what = "loading weights",
): (done: number, total: number) => void {
  const began = performance.now();
  return (done, total) => {
    const rate = done / Math.max(1e-3, (performance.now() - began) / 1000);
    io.progress(
      `${what} ${progressBar(done / total, 16, io.ascii)} ${humanBytes(done)} of ${
        humanBytes(total)
      }, ${humanBytes(rate)}/s`,
    );
  };
}
