// The reference model of Llama as a folder of another family: the same weights under other settings.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  openSafetensors,
  type TensorSource,
  writeSafetensors,
} from "../src/formats/safetensors.ts";

const fixture = join(import.meta.dir, "../../shared/fixtures/models/llama");

/** Which of Llama's projections Phi 3 has in one. */
export const inOne = {
  qkv_proj: ["q_proj", "k_proj", "v_proj"],
  gate_up_proj: ["gate_proj", "up_proj"],
};

/**
 * Writes config.json and model.safetensors; the caller removes the folder. Of more layers than two those
 * above have the weights of the ones below again.
 * @param fused new name of projections put into one, and their names
 */
export async function llamaAs(
  settings: Record<string, unknown>,
  fused: Record<string, readonly string[]> = {},
): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "whet-family-"));
  const config = {
    ...JSON.parse(readFileSync(join(fixture, "hf/config.json"), "utf8")),
    ...settings,
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  using file = openSafetensors(join(fixture, "hf/model.safetensors"));
  const sources: TensorSource[] = [];
  for (const [name, { dtype, shape }] of file.tensors) {
    const layer = /layers\.(\d+)/.exec(name)?.[1];
    const into = Object.entries(fused).find(([, of]) => of.some((part) => name.includes(part)));
    if (into && !name.includes(into[1][0]!)) continue; // goes with the first
    const parts = into ? into[1].map((part) => name.replace(into[1][0]!, part)) : [name];
    const rows = parts.reduce((sum, part) => sum + file.tensors.get(part)!.shape[0]!, 0);
    const data = Buffer.concat(parts.map((part) => file.readBytes(part).slice()));
    const named = into ? name.replace(into[1][0]!, into[0]) : name;
    const places = layer === undefined
      ? [named]
      : Array.from({ length: config.num_hidden_layers }, (_, i) => i)
        .filter((i) => i % 2 === Number(layer))
        .map((i) => named.replace(`layers.${layer}.`, `layers.${i}.`));
    for (const name of places) {
      sources.push({ name, dtype, shape: [rows, ...shape.slice(1)], data });
    }
  }
  await writeSafetensors(join(dir, "model.safetensors"), sources);
  return dir;
}
