import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dtypeBits, fromF32 } from "../../base/bits.ts";
import { writeFile } from "../../base/durable.ts";
import type { ModelFolder } from "../../formats/model_folder.ts";
import { writeSafetensors } from "../../formats/safetensors.ts";
import { turn } from "../../formats/turned_folder.ts";

/**
 * Writes fully trained weights as a Hugging Face model folder: the same names as the base, values in
 * float32, what is not trained copied as it is. config.json comes last: without it a folder is no model.
 */
export async function writeModel(
  out: string,
  base: ModelFolder,
  trained: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>,
): Promise<{ bytes: number; sha256: string }> {
  const sources = [...base.tensors].map(([name, { dtype, shape }]) => {
    const own = trained.get(name), data = own ? fromF32(own.data, "F32") : base.readBytes(name);
    const type = own ? "F32" as const : dtype;
    if (!base.turned?.(name)) return { name, dtype: type, shape, data };
    const [rows, columns] = shape, size = dtypeBits[type] / 8;
    return {
      name,
      dtype: type,
      shape: shape.toReversed(),
      data: turn(data, rows!, columns!, size),
    };
  });
  const { size, sha256 } = await writeSafetensors(join(out, "model.safetensors"), sources, {
    format: "pt",
  });
  const generation = join(base.dir, "generation_config.json");
  if (existsSync(generation)) {
    await writeFile(join(out, "generation_config.json"), readFileSync(generation));
  }
  const { torch_dtype: _old, dtype: _new, ...config } = base.config;
  await writeFile(
    join(out, "config.json"),
    JSON.stringify({ ...config, dtype: "float32", torch_dtype: "float32" }, null, 2) + "\n",
  );
  return { bytes: size, sha256 };
}
