/**
 * While anything is awaited, Dawn's Node binding asks its device for news from one `setImmediate` to the
 * next, without pause: a whole core, taken from a software adapter's own threads or from other programs.
 * This puts a short sleep before each question but the first few. Timers and input wait no longer than
 * that sleep, and nothing sleeps when nothing is awaited.
 */
const FREE = 16; // questions in a row without a sleep: what is ready at once is not delayed
const STEP = 0.01, MOST = 0.4; // milliseconds: the sleep grows while the device stays silent
const GAP = 2; // milliseconds without a question end a row

let installed = false;

/** Installs the sleep; must come before the first device is made. */
export function pollGently(): void {
  if (installed) return;
  installed = true;
  const next = globalThis.setImmediate;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  let row = 0, last = 0;
  const gentle = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (!fromDawn(callback)) return next(callback, ...args);
    const now = performance.now();
    row = now - last > GAP ? 0 : row + 1;
    if (row > FREE) Atomics.wait(cell, 0, 0, Math.min(MOST, (row - FREE) * STEP));
    last = performance.now();
    return next(callback);
  };
  globalThis.setImmediate = Object.assign(gentle, next) as typeof setImmediate;
}

/** Dawn makes a nameless native function for every question; nobody else does. */
const fromDawn = (callback: { name: string }) =>
  callback.name === "" && String(callback).includes("[native code]");
