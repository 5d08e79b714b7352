import { Exit, Fail } from "../base/fail.ts";
import { isObject, type Json } from "./tokenizer_json.ts";

/** Ids put before and after a text. */
export interface Surroundings {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

const nothing: Surroundings = { prefix: [], suffix: [] };

const bad = (why: string): Fail =>
  new Fail("tokenizer.json uses something whet does not know", { why, exit: Exit.data });

function template({ single, special_tokens }: Json): Surroundings {
  const ids: number[][] = [[]];
  for (const part of Array.isArray(single) ? single : []) {
    if (isObject(part) && isObject(part.Sequence)) {
      ids.push([]);
      continue;
    }
    const name = isObject(part) && isObject(part.SpecialToken) ? String(part.SpecialToken.id) : "";
    const tokens = isObject(special_tokens) && Object.hasOwn(special_tokens, name)
      ? special_tokens[name]
      : undefined;
    if (!isObject(tokens) || !Array.isArray(tokens.ids)) {
      throw bad(`its template names ${JSON.stringify(name)}, which it does not define`);
    }
    ids.at(-1)!.push(...tokens.ids.map(Number));
  }
  if (ids.length !== 2) throw bad("a template in which the text does not occur exactly once");
  return { prefix: ids[0]!, suffix: ids[1]! };
}

/** ["[SEP]", 102] as BertProcessing and RobertaProcessing have them. */
function pair(value: unknown): number[] {
  if (Array.isArray(value) && typeof value[1] === "number") return [value[1]];
  throw bad("a post-processor without its tokens");
}

/**
 * What tokenizer.json says is put around a single text.
 *
 * @throws Fail for a step that is not known, or tokens that are no ids
 */
export function surroundingsOf(step: unknown): Surroundings {
  if (step === null || step === undefined) return nothing;
  if (!isObject(step)) throw bad("a post-processor that is no object");
  switch (step.type) {
    case "ByteLevel":
      return nothing;
    case "TemplateProcessing":
      return checked(template(step));
    case "BertProcessing":
    case "RobertaProcessing":
      return checked({ prefix: pair(step.cls), suffix: pair(step.sep) });
    case "Sequence": {
      const steps = Array.isArray(step.processors) ? step.processors.map(surroundingsOf) : [];
      return steps.reduce((inner, outer) => ({
        prefix: [...outer.prefix, ...inner.prefix],
        suffix: [...inner.suffix, ...outer.suffix],
      }), nothing);
    }
    default:
      throw bad(`post-processor ${String(step.type)}`);
  }
}

function checked(around: Surroundings): Surroundings {
  for (const id of [...around.prefix, ...around.suffix]) {
    if (!Number.isInteger(id) || id < 0) throw bad(`a post-processor with token id ${id}`);
  }
  return around;
}
