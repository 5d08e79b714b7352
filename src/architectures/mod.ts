import { Exit, Fail } from "../base/fail.ts";
import type { Architecture } from "./architecture.ts";
import { bert, roberta, xlmRoberta } from "./bert.ts";
import { gemma2, gemma3 } from "./gemma.ts";
import { gpt2 } from "./gpt2.ts";
import { jina } from "./jina.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { phi } from "./phi.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";

/** Every model family. A compiled binary cannot look in folders, so the table is explicit. */
export const architectures: readonly Architecture[] = [
  erase(llama),
  erase(phi),
  erase(bert),
  erase(roberta),
  erase(jina),
  erase(xlmRoberta),
  erase(qwen2),
  erase(qwen3),
  erase(gemma2),
  erase(gemma3),
  erase(mistral),
  erase(phi3),
  erase(smollm3),
  erase(gpt2),
];

/** A family reads its own config; outside its file nobody looks into it. */
function erase<C>(architecture: Architecture<C>): Architecture {
  return architecture as unknown as Architecture;
}

/** The family that config.json names, undefined where it is not known. */
export const knownArchitecture = (json: Record<string, unknown>): Architecture | undefined =>
  architectures.find((a) => a.modelType === json.model_type && (a.owns?.(json) ?? true));

/** The family that config.json names. Throws Fail with the known ones when there is none. */
export function architectureOf(json: Record<string, unknown>): Architecture {
  const found = knownArchitecture(json);
  if (found) return found;
  throw new Fail(
    `unknown architecture: config.json has model_type ${JSON.stringify(json.model_type)}`,
    {
      why: `this version trains ${[...new Set(architectures.map((a) => a.modelType))].join(", ")}`,
      fix: "choose a model of one of these families",
      exit: Exit.data,
    },
  );
}
