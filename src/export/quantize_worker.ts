/** A thread that quantises what it is sent. The binary has it as an entry point of its own. */
import { parentPort } from "node:worker_threads";
import { blockCodec, blockType, bytesOf } from "../formats/gguf_blocks.ts";

/** What is sent; the answer is the bytes. */
export interface Task {
  readonly type: string;
  readonly values: Float32Array;
  readonly importance?: Float32Array;
}

parentPort?.on("message", ({ type, values, importance }: Task) => {
  const bytes = new Uint8Array(bytesOf(blockType(type), values.length));
  blockCodec(type).quantize(values, bytes, importance);
  parentPort!.postMessage(bytes, [bytes.buffer]);
});
