/** A thread that looks at the rows it is sent. The binary has it as an entry point of its own. */
import { parentPort } from "node:worker_threads";
import { lookAt, type LookTask } from "./look.ts";

/** Bytes of rows after which memory is given back. */
const COLLECT = 16 * 2 ** 20;
let read = 0;

parentPort?.on("message", (task: LookTask) => {
  const looks = lookAt(task);
  const { has, words, signatures } = looks;
  parentPort!.postMessage(looks, [has.buffer, words.buffer, signatures.buffer] as ArrayBuffer[]);
  if ((read += task.bytes.length) > COLLECT) {
    Bun.gc(true);
    read = 0;
  }
});
