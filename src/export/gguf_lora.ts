import { Exit, Fail } from "../base/fail.ts";
import { fromF32 } from "../base/bits.ts";
import { blockType } from "../formats/gguf_blocks.ts";
import { array, f32, type Metadata, text, u32 } from "../formats/gguf_types.ts";
import { type GgufSource, writeGguf } from "../formats/gguf_write.ts";
import { type Adapter, adapterPart, checkFit, rankOf, scaling } from "../formats/peft.ts";
import { ggufFamily } from "./gguf_families.ts";
import { ggufName } from "./gguf_family.ts";
import { type ExportResult, interleave } from "./gguf_model.ts";
import { checkRange, type Weights } from "./weights.ts";

/**
 * Writes a LoRA adapter as a GGUF file that llama.cpp applies to the model at run time.
 *
 * The file holds one alpha, and a module's scale is alpha / rank. So alpha is chosen to give the
 * first module's scale (which is right for rank-stabilised adapters too), and where another module
 * is scaled differently its B carries the rest.
 *
 * @param options.model the base model: its config.json and tensor shapes are looked at, not its values
 * @throws Fail when the adapter does not fit the model or its family is not known
 */
export async function exportGgufLora(options: {
  readonly model: Weights;
  readonly adapter: Adapter;
  readonly out: string;
  readonly name?: string;
}): Promise<ExportResult> {
  const { model, adapter, out } = options;
  if (adapter.config.use_dora) {
    throw new Fail("a GGUF adapter cannot hold DoRA: llama.cpp knows no magnitudes", {
      fix: "merge it into the model: --gguf, or --merge",
      exit: Exit.usage,
    });
  }
  const family = ggufFamily(model.config);
  checkFit(adapter, model.tensors);
  const first = adapter.tensors.keys().next().value;
  if (first === undefined) throw new Fail("the adapter has no tensors", { exit: Exit.data });
  const { module: firstModule } = adapterPart(first)!;
  const alpha = Math.fround(
    scaling(adapter.config, firstModule) * rankOf(adapter.config, firstModule),
  );

  const tensors = [...adapter.tensors].map(([name, { shape, data }]): GgufSource => {
    const { module, part } = adapterPart(name)!;
    const checkpoint = `${module}.weight`;
    const target = ggufName(family, checkpoint);
    if (target === undefined) {
      throw new Fail(`${name} adapts a tensor that GGUF does not hold`, { exit: Exit.data });
    }
    const perHead = part === "B" ? family.interleavedRows?.(checkpoint, model.config) : undefined;
    return {
      name: `${target.gguf}.lora_${part.toLowerCase()}`,
      type: blockType("f32"),
      shape,
      *chunks() {
        const rest = part === "B" ? scaling(adapter.config, module) * shape[1]! / alpha : 1;
        const scaled = Math.abs(rest - 1) < 1e-6 ? data : data.map((value) => value * rest);
        checkRange(name, scaled, "f32");
        yield fromF32(perHead ? interleave(scaled, perHead, shape[1]!) : scaled, "F32");
      },
    };
  });
  const metadata: Metadata = new Map([
    ["general.architecture", text(family.arch)],
    ["general.type", text("adapter")],
    ["adapter.type", text("lora")],
    ["general.name", text(options.name ?? "LoRA adapter")],
    ["general.tags", array("string", ["lora"])],
    ["adapter.lora.alpha", f32(alpha)],
    ["general.quantization_version", u32(2)],
  ]);
  const written = await writeGguf(out, { metadata, tensors });
  return {
    path: out,
    paths: [out],
    bytes: written.size,
    sha256: written.sha256,
    tensors: tensors.length,
    warnings: [],
  };
}
