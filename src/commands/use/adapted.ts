import { existsSync } from "node:fs";
import { join } from "node:path";
import { Exit, Fail } from "../../base/fail.ts";
import { readAdapter } from "../../formats/peft.ts";

/**
 * A model and its adapter, where -m may name the adapter's folder or the run that made it: its base is
 * then the one that it was trained on.
 * @throws Fail (usage) where that is not known or not there
 */
export async function baseAndAdapter(
  { model, adapter }: { readonly model: string; readonly adapter?: string },
): Promise<{ readonly model: string; readonly adapter?: string }> {
  if (adapter !== undefined || !existsSync(join(model, "adapter_config.json"))) {
    return { model, adapter };
  }
  const base = (await readAdapter(model)).config.base_model_name_or_path;
  if (base && existsSync(base)) return { model: base, adapter: model };
  throw new Fail(
    base
      ? `the base model of ${model} is not at ${base}`
      : `${model} does not say what its base is`,
    {
      why: `${model} is an adapter, which needs the model it was trained on`,
      fix: `-m BASE -a ${model}`,
      exit: Exit.usage,
    },
  );
}
