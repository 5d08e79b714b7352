import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { RunEvent } from "./record.ts";

/**
 * Reads a metrics.jsonl that may still grow: each call gives the events that were completed since the one
 * before. A line that is being written is left for later; a file that is shorter than before, because its
 * run was begun anew, is read from its start.
 */
export class Follower {
  #at = 0;

  constructor(private readonly path: string) {}

  /** @returns nothing where there is no file (yet) */
  read(): RunEvent[] {
    let fd: number;
    try {
      fd = openSync(this.path, "r");
    } catch {
      return [];
    }
    try {
      const { size } = fstatSync(fd);
      if (size < this.#at) this.#at = 0;
      const bytes = new Uint8Array(size - this.#at);
      let done = 0;
      for (let n = 1; n > 0 && done < bytes.length; done += n) {
        n = readSync(fd, bytes, done, bytes.length - done, this.#at + done);
      }
      const whole = bytes.subarray(0, bytes.subarray(0, done).lastIndexOf(10) + 1);
      this.#at += whole.length;
      return new TextDecoder().decode(whole).split("\n").flatMap(parsed);
    } finally {
      closeSync(fd);
    }
  }
}

/** The event on a line; none on one that a crash cut short. */
function parsed(line: string): RunEvent[] {
  try {
    return line ? [JSON.parse(line) as RunEvent] : [];
  } catch {
    return [];
  }
}
