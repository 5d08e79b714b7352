// However large a checkpoint is, the host holds a few pieces of it while it streams to the device.
import { afterAll, expect, test } from "bun:test";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testDevice } from "../kernels/check.ts";
import { manifest, specOf } from "../src/architectures/model.ts";
import { count } from "../src/graph/tensor.ts";

const MiB = 2 ** 20;
const dir = mkdtempSync(join(tmpdir(), "whet-streaming-"));
afterAll(() => rmSync(dir, { recursive: true }));
const device = await testDevice();

/** 1.5 GiB of weights as f16, all zero, so that the file takes no room on the disk. */
function checkpoint() {
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 12,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 128,
    vocab_size: 4096,
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_theta: 10000, rope_type: "default" },
    tie_word_embeddings: true,
    bos_token_id: 0,
    eos_token_id: 0,
  };
  let at = 0;
  const header = Object.fromEntries(
    manifest(specOf(config)).map(({ name, shape }) => {
      const from = at;
      return [name, { dtype: "F16", shape, data_offsets: [from, at += 2 * count(shape)] }];
    }),
  );
  const text = JSON.stringify(header), length = Math.ceil(text.length / 8) * 8;
  const fd = openSync(join(dir, "model.safetensors"), "w");
  writeSync(fd, new Uint8Array(BigUint64Array.of(BigInt(length)).buffer));
  writeSync(fd, text.padEnd(length));
  ftruncateSync(fd, 8 + length + at);
  closeSync(fd);
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
}

checkpoint();

for (const quant of ["none", "int8", "nf4"]) {
  test.skipIf(!device)(`a checkpoint of 1.5 GiB, kept as ${quant}`, async () => {
    // A process of its own: memory that another load gave back would hide what this one takes.
    const argv = [process.execPath, join(import.meta.dir, "streaming.ts"), dir, quant];
    const child = Bun.spawn(argv, { stderr: "inherit" });
    const { most, loaded, allocated } = await new Response(child.stdout).json();
    expect(loaded).toBe(allocated);
    console.log(`${quant}: ${Math.round(most / MiB)} MiB beside ${Math.round(loaded / MiB)} MiB`);
    expect(most).toBeLessThan(256 * MiB);
  }, 300_000);
}
