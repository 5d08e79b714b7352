import { Exit, Fail } from "../base/fail.ts";
import type { RopeScaling } from "../../kernels/rope/tables.ts";

type Json = Record<string, unknown>;

/** Typed access to a config.json: every complaint names the key, what was expected and what was found. */
export class ConfigReader {
  constructor(readonly json: Record<string, unknown>) {}

  #wrong(key: string, expected: string): never {
    throw new Fail(
      `config.json: ${key} must be ${expected}, found ${JSON.stringify(this.json[key])}`,
      {
        fix: "check that this is the config.json of a Hugging Face model folder",
        exit: Exit.data,
      },
    );
  }
  /** A positive whole number; `fallback` is the class default of transformers. */
  size(key: string, fallback?: number): number {
    const value = this.json[key] ?? fallback;
    if (!Number.isSafeInteger(value) || (value as number) <= 0 || (value as number) > 2 ** 31) {
      this.#wrong(key, "a positive whole number");
    }
    return value as number;
  }
  number(key: string, fallback: number): number {
    const value = this.json[key] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) this.#wrong(key, "a number");
    return value;
  }
  /** A number above 0, or undefined where there is none or null. */
  optional(key: string): number | undefined {
    const value = this.json[key] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value)) {
      this.#wrong(key, "a number above 0");
    }
    return value;
  }
  flag(key: string, fallback: boolean): boolean {
    const value = this.json[key] ?? fallback;
    if (typeof value !== "boolean") this.#wrong(key, "true or false");
    return value;
  }
  /** Refuses a value the architecture here cannot compute. */
  only(key: string, allowed: readonly unknown[], fallback: unknown): void {
    const value = this.json[key] ?? fallback;
    if (!allowed.includes(value)) {
      throw new Fail(`config.json: ${key} is ${JSON.stringify(value)}`, {
        why: `this architecture is built for ${allowed.map((v) => JSON.stringify(v)).join(" or ")}`,
        fix: "choose a model without this setting: it would compute something else",
        exit: Exit.data,
      });
    }
  }

  /** Which layers see a sliding window: as layer_types lists them, else as `pattern` says. */
  sliding(layers: number, pattern: (layer: number) => boolean): boolean[] {
    const listed = this.json.layer_types;
    if (listed === undefined || listed === null) {
      return Array.from({ length: layers }, (_, i) => pattern(i));
    }
    const known = ["sliding_attention", "full_attention"];
    if (
      !Array.isArray(listed) || listed.length !== layers || !listed.every((t) => known.includes(t))
    ) {
      this.#wrong("layer_types", `${layers} times ${known.join(" or ")}`);
    }
    return listed.map((type) => type === known[0]);
  }

  /**
   * Rotary settings in transformers 5 style (rope_parameters) or 4 style (rope_theta, rope_scaling).
   * @param layers of models with several kinds of layers: which kind is asked for
   * @param theta the base where none is said
   */
  rope(
    { layers, theta: usual = 10000 }: {
      layers?: "full_attention" | "sliding_attention";
      theta?: number;
    } = {},
  ): { theta: number; scaling: RopeScaling | undefined; partial: number | undefined } {
    const given = (this.json.rope_parameters ?? this.json.rope_scaling ?? {}) as Json;
    const kinds = layers && this.json.rope_parameters ? given as Record<string, Json> : undefined;
    // Before transformers 5 the layers that slide had a base of their own and no scaling.
    const local = layers === "sliding_attention" && !kinds;
    const nested = local
      ? { rope_theta: this.json.rope_local_base_freq ?? usual }
      : kinds?.[layers!] ?? given;
    const theta = new ConfigReader({ ...this.json, ...nested }).number("rope_theta", usual);
    const type = nested.rope_type ?? nested.type ?? "default";
    const r = new ConfigReader(nested);
    const partial = (nested.partial_rotary_factor ?? this.json.partial_rotary_factor) as
      | number
      | undefined;
    switch (type) {
      case "default":
        return { theta, partial, scaling: undefined };
      case "linear":
        return { theta, partial, scaling: { type: "linear", factor: r.number("factor", 1) } };
      case "dynamic":
        return {
          theta,
          partial,
          scaling: {
            type: "dynamic",
            factor: r.number("factor", 1),
            context: this.size("max_position_embeddings"),
          },
        };
      case "yarn":
        return { theta, partial, scaling: this.#yarn(r) };
      case "longrope":
      case "su":
        return { theta, partial, scaling: this.#longrope(r) };
      case "llama3":
        return {
          theta,
          partial,
          scaling: {
            type: "llama3",
            factor: r.number("factor", 8),
            lowFrequencyFactor: r.number("low_freq_factor", 1),
            highFrequencyFactor: r.number("high_freq_factor", 4),
            originalContext: r.number("original_max_position_embeddings", 8192),
          },
        };
      default:
        throw new Fail(`config.json: rope type ${JSON.stringify(type)} is not built yet`, {
          why:
            "whet computes default, linear, dynamic, yarn, longrope and llama3 rotary embeddings",
          fix: "choose a model with one of these",
          exit: Exit.data,
        });
    }
  }

  #yarn(r: ConfigReader): RopeScaling {
    const context = this.size("max_position_embeddings");
    const originalContext = r.number("original_max_position_embeddings", context);
    const factor = r.number("factor", context / originalContext);
    const magnitude = (of = 1) => factor <= 1 ? 1 : 0.1 * of * Math.log(factor) + 1;
    const [some, all] = [r.optional("mscale"), r.optional("mscale_all_dim")];
    const usual = some && all ? magnitude(some) / magnitude(all) : magnitude();
    return {
      type: "yarn",
      factor,
      originalContext,
      betaFast: r.number("beta_fast", 32),
      betaSlow: r.number("beta_slow", 1),
      truncate: r.flag("truncate", true),
      attentionFactor: r.number("attention_factor", usual),
    };
  }
  #longrope(r: ConfigReader): RopeScaling {
    const context = this.size("max_position_embeddings");
    const originalContext = this.number(
      "original_max_position_embeddings",
      r.number("original_max_position_embeddings", context),
    );
    const factor = context / originalContext;
    const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext));
    const list = (key: string): number[] => {
      const value = r.json[key];
      if (Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === "number")) {
        return value;
      }
      return r.#wrong(key, "a list of numbers");
    };
    return {
      type: "longrope",
      short: list("short_factor"),
      long: list("long_factor"),
      originalContext,
      attentionFactor: r.number("attention_factor", usual),
    };
  }
}
