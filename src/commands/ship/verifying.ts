/** The equivalence gate: does what was exported answer as what was trained? */
import { parametersOf } from "../../architectures/model.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { columns, plural, short } from "../../base/text.ts";
import { collectRows } from "../../data/rows.ts";
import type { Judged } from "../../evaluate/judge.ts";
import { mcnemar } from "../../evaluate/significance.ts";
import {
  type Divergence,
  divergence,
  logitsAt,
  type Places,
} from "../../evaluate/distributions.ts";
import type { Measures } from "../../evaluate/measures.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { Message } from "../../text/chat_template.ts";
import { measure, PLAIN } from "../eval/evaluation.ts";
import { openDevice } from "../machine/gpu.ts";
import type { Device } from "../../gpu/device.ts";
import type { Io } from "../io.ts";
import { load, type Loaded, openBoth } from "../use/loaded.ts";
import { readRows, tokenised, type TokenRows } from "../train/prepared.ts";
import { type Texts, textsOf } from "../use/texts.ts";

/** What is compared with what. */
export interface Pairing {
  /** As it was trained: base, adapter, and how the base was kept. */
  readonly source: {
    readonly model: string;
    readonly adapter?: string;
    readonly quant?: string;
    readonly double_quant?: boolean;
    readonly template?: string;
  };
  /** The GGUF file or model folder that was written, and the number format of its weights. */
  readonly written: string;
  readonly quant: string;
  /** Rows to compare on, and how they are read; built-in ones where there are none. */
  readonly data?: string;
  readonly reading?: {
    readonly map?: string;
    readonly system?: string;
    readonly json_indent?: number;
  };
  readonly rows: number;
  /** Longest answer compared, tokens. */
  readonly max_tokens: number;
  /** Largest mean KL divergence, nats a token; by number format unless told. */
  readonly limit?: number;
}

/** What `whet export --verify` says. Divergences in nats a token; shares in [0, 1]. */
export interface Equivalence {
  readonly rows: number;
  readonly places: number;
  readonly kl_mean: number;
  readonly kl_max: number;
  readonly kl_limit: number;
  readonly same_top: number;
  readonly same_answers?: number;
  readonly measures?: {
    readonly source: Measures;
    readonly written: Measures;
  };
  /** What is said differently around the weights, in words; none where all is the same. */
  readonly texts: readonly string[];
  /** Why the gate fails; none where it passes. */
  readonly failed: readonly string[];
}

/**
 * Mean KL divergence that rounding to a number format explains, with room: several times what llama.cpp
 * measures of common models, for small ones suffer more. A wrong template, permutation or scale costs nats.
 */
const LIMITS: Readonly<Record<string, number>> = {
  f32: 1e-5,
  f16: 1e-4,
  bf16: 2e-3,
  merged: 2e-3, // as the base has it, bf16 mostly
  q8_0: 5e-3,
  q6_k: 0.02,
  q5_k_m: 0.06,
  q5_k_s: 0.06,
  q4_k_m: 0.2,
  q4_k_s: 0.2,
  q4_0: 0.3,
};
/** Shares of right answers may fall by this, and by what chance explains (McNemar's test). */
const DROP = 0.05, CHANCE = 0.05;
/** Places of a row that are compared. */
const PLACES = 16;

/** Asked where there are no rows: prose, code, JSON, numbers, other scripts. */
const ASKED: readonly (readonly [string, string])[] = [
  ["What is the capital of France?", "The capital of France is Paris, on the river Seine."],
  ["List three colours as JSON.", '{"colours": ["red", "green", "blue"], "count": 3}'],
  ["Write a function that adds two numbers.", "def add(a, b):\n    return a + b\n"],
  ["Translate to German: good morning", "Guten Morgen! Schönen Tag noch."],
  ["What is 17 times 23?", "17 × 23 = 391."],
  ["Sag etwas auf Russisch.", "Привет, мир! 你好，世界。"],
  ["Continue: once upon a time", "there was a small house at the edge of a wide, dark forest."],
  ["Which command lists files?", "ls -la lists all files with their sizes and dates."],
];

/**
 * Loads both, one after the other, and compares what they predict at places of the rows' answers, what
 * they answer, how right the answers are, and the texts around them.
 * @throws Fail: what cannot be loaded or read
 */
export async function equivalence(
  pairing: Pairing,
  settings: Pick<CommonSettings, "device" | "backend">,
  io: Io,
): Promise<Equivalence> {
  const { source, written } = pairing;
  const texts = await textsOf(source.model, source.template), theirs = await textsOf(written);
  const asked = await rowsOf(pairing, texts, io);
  const places = asked.rows.map(({ ids, labels }) => placesOf(ids, labels));
  let device: Device | undefined;
  const on = async <T>(what: Pairing["source"], run: (loaded: Loaded) => Promise<T>) => {
    const opened = await openBoth(what);
    device ??= await openDevice(settings, parametersOf(opened.model), io);
    using loaded = await load(opened, settings, io, device);
    return await run(loaded);
  };
  const answers = (loaded: Loaded, texts: Texts, name: string) =>
    measure(
      loaded,
      loaded.adapted,
      texts,
      asked,
      { temp: 0, top_p: 1, max_tokens: pairing.max_tokens, seed: 0 },
      PLAIN,
      (done, of) => io.progress(`${name}: ${done} of ${of} answers`),
    );
  try {
    const ours: Float32Array[] = [];
    const before = await on(source, async (loaded) => {
      for await (const logits of logitsAt(loaded.model, loaded.memory, places, loaded.adapted)) {
        ours.push(logits);
        io.progress(`source: ${ours.length} predictions`);
      }
      return await answers(loaded, texts, "source");
    });
    const found: Divergence[] = [];
    const after = await on({ model: written }, async (loaded) => {
      for await (const logits of logitsAt(loaded.model, loaded.memory, places)) {
        const one = ours[found.length]!;
        found.push(divergence(one, logits.subarray(0, one.length)));
        io.progress(`written: ${found.length} predictions`);
      }
      // With its own tokenizer and template: what is asked must become the same tokens.
      return await answers(loaded, theirs, "written");
    });
    io.progress();
    const n = before.judged.length;
    const same = before.judged.filter(({ predicted }, i) =>
      predicted === after.judged[i]!.predicted
    ).length;
    const known = pairing.data !== undefined && n > 0;
    const result = {
      rows: asked.rows.length,
      places: found.length,
      kl_mean: found.reduce((sum, { kl }) => sum + kl, 0) / found.length,
      kl_max: Math.max(...found.map(({ kl }) => kl)),
      kl_limit: pairing.limit ?? LIMITS[pairing.quant] ?? LIMITS.q4_0!,
      same_top: found.filter(({ sameTop }) => sameTop).length / found.length,
      ...(n > 0 ? { same_answers: same / n } : {}),
      ...(known ? { measures: { source: before.measures, written: after.measures } } : {}),
      texts: textDifferences(texts, theirs),
    };
    const falls = known ? fallen(before.judged, after.judged) : [];
    return { ...result, failed: [...failures(result), ...falls] };
  } finally {
    device?.close();
  }
}

function failures(e: Omit<Equivalence, "failed">): string[] {
  const failed: string[] = [];
  if (!(e.kl_mean <= e.kl_limit)) {
    failed.push(
      `predictions drift by ${short(e.kl_mean)} nats a token, at most ${
        short(e.kl_limit)
      } is rounding`,
    );
  }
  return [...failed, ...e.texts];
}

/**
 * What more answers have lost than gained, beyond chance: a model that is unsure answers otherwise after
 * any rounding, one way as often as the other.
 */
function fallen(before: readonly Judged[], after: readonly Judged[]): string[] {
  const shares = { "exact match": "right", "valid JSON": "json" } as const;
  return Object.entries(shares).flatMap(([name, key]) => {
    const lost = before.filter((one, i) => one[key] && !after[i]![key]).length;
    const gained = before.filter((one, i) => !one[key] && after[i]![key]).length;
    const share = (all: readonly Judged[]) => all.filter((one) => one[key]).length / all.length;
    const beyond = lost - gained > DROP * before.length && mcnemar(lost, gained) < CHANCE;
    return beyond ? [`${name} falls from ${short(share(before))} to ${short(share(after))}`] : [];
  });
}

/** The rows to compare on, tokenised as they were for training. */
async function rowsOf(
  { data, reading, source, rows }: Pairing,
  texts: Texts,
  io: Io,
): Promise<TokenRows> {
  using opened = await openBoth({ model: source.model });
  const { vocab, context } = opened.model.sizes;
  const how = {
    max_seq: Math.min(context, 2048),
    overlong: "drop",
    json_indent: reading?.json_indent ?? 0,
    map: reading?.map,
    system: reading?.system,
    skip_bad: false,
    batch: 1,
    accum: 1,
    limit: rows,
  } as const;
  const known = { vocab, context, ...texts };
  if (data !== undefined) return await readRows(data, how, known, io);
  const lines = ASKED.map(([prompt, completion]) =>
    texts.template
      ? {
        messages: [{ role: "user", content: prompt }, { role: "assistant", content: completion }],
      }
      : { prompt, completion }
  );
  const text = lines.map((line) => JSON.stringify(line)).join("\n");
  const { examples } = await collectRows(once(new TextEncoder().encode(text)), "the built-in rows");
  return tokenised("the built-in rows", examples, how, known);
}

// deno-lint-ignore require-await
async function* once(bytes: Uint8Array) {
  yield bytes;
}

/** Where a row's predictions are compared: spread over what is trained of it. */
function placesOf(ids: readonly number[], labels: readonly number[]): Places {
  const trained = labels.flatMap((label, t) => label === -100 || t === 0 ? [] : [t - 1]);
  const step = Math.max(1, trained.length / PLACES);
  const at = Array.from(
    { length: Math.min(PLACES, trained.length) },
    (_, i) => trained[Math.floor(i * step)]!,
  );
  return { ids, at };
}

/** What the written model would be told otherwise: template, ends, tokens of a probe. */
function textDifferences(ours: Texts, theirs: Texts): string[] {
  const differ: string[] = [];
  const ends = ({ tokenizer }: Texts) => [...tokenizer.eosIds].sort((a, b) => a - b).join(" ");
  if (ours.tokenizer.bos !== theirs.tokenizer.bos) {
    differ.push(`text begins with id ${theirs.tokenizer.bos}, trained was ${ours.tokenizer.bos}`);
  }
  if (ours.tokenizer.addsBos !== theirs.tokenizer.addsBos) {
    differ.push(`the begin token is ${theirs.tokenizer.addsBos ? "" : "not "}added by itself`);
  }
  if (ends(ours) !== ends(theirs)) {
    differ.push(`answers end with ids ${ends(theirs)}, trained were ${ends(ours)}`);
  }
  const probe: Message[] = [{ role: "user", content: "Ein Test: naïve 测试 {}\n  x" }];
  const written = ({ tokenizer, template }: Texts) => {
    const text = template?.render(probe, { addGenerationPrompt: true });
    return text === undefined ? undefined : tokenizer.encode(text, { special: false }).join();
  };
  if (!ours.template !== !theirs.template) {
    differ.push(theirs.template ? "there is a chat template" : "the chat template is missing");
  } else if (written(ours) !== written(theirs)) {
    differ.push("a question becomes other tokens");
  }
  return differ;
}

/** The drift for people. */
export function driftTable(e: Equivalence): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = [
    ["rows, predictions", `${e.rows}, ${e.places}`, ""],
    ["drift, nats a token", short(e.kl_mean), `at most ${short(e.kl_limit)}`],
    ["  of the worst", short(e.kl_max), ""],
    ["same likeliest token", percent(e.same_top), ""],
    ...e.same_answers === undefined ? [] : [["same answers", percent(e.same_answers), ""]],
    ...e.measures
      ? (["exact_match", "json_valid"] as const).map((name) => [
        name === "exact_match" ? "exact match" : "valid JSON",
        `${percent(e.measures!.source[name] ?? 0)} -> ${percent(e.measures!.written[name] ?? 0)}`,
        "",
      ])
      : [],
    ["template, begin, ends", e.texts.length === 0 ? "the same" : "differ", ""],
  ];
  return columns(rows);
}

/** @throws Fail (gate) where what was written is not what was trained */
export function requireEquivalent(path: string, { failed, rows }: Equivalence): void {
  if (failed.length === 0) return;
  throw new Fail(`${path} does not answer as the model that was trained`, {
    why: `${failed.join("; ")} (${plural(rows, "row")})`,
    fix: "export with a finer --quant; --verify-data FILE compares on other rows, " +
      "--max-drift N sets another limit",
    exit: Exit.gate,
  });
}
