// whet train auto: from telemetry or files to a trained adapter, with the micro model.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schemaOf } from "../../src/commands/data/synthetic.ts";
import { Batch, listBatches } from "../../src/data/review.ts";
import { inside } from "./inside.ts";
import { judgement, mockPhoenix, routed } from "./mock_phoenix.ts";

setDefaultTimeout(120_000);
const root = mkdtempSync(join(tmpdir(), "whet auto "));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => mkdtempSync(join(root, `${folders++}-`));
const micro = join(import.meta.dir, "../../models/micro");
const example = join(import.meta.dir, "../fixtures/phoenix/spans.json");

/** A few steps, and no answers in between. */
const SHORT = ["--epochs", "0.1", "--samples", "0"];

const auto = (dir: string, argv: readonly string[], env: Record<string, string> = {}) =>
  inside("train auto", [
    "-m",
    micro,
    "--output-dir",
    join(dir, "adapters"),
    "--queue",
    join(dir, "queue"),
    ...argv,
  ], env);
const last = (out: string) => JSON.parse(out.trimEnd().split("\n").at(-1)!);

test("examples: split, trained, and a result in a folder named after method, agent and time", async () => {
  const dir = folder();
  const ran = await auto(dir, ["--from", example, "--agent", "routing", ...SHORT, "--json"]);
  expect(ran.code).toBe(0);
  expect(ran.err).toContain("Split: 97 train, 11 val\n");
  const [name] = readdirSync(join(dir, "adapters"));
  expect(name).toMatch(/^sft_routing_\d{8}_\d{6}$/);
  const adapter = join(dir, "adapters", name!);
  const result = last(ran.out);
  expect(result).toMatchObject({
    model_type: "llm",
    training_method: "sft",
    adapter_path: adapter,
    metrics: { train_loss: expect.any(Number), eval_loss: expect.any(Number) },
    base_model: micro,
    lora_config: { use_lora: true, r: 8, lora_alpha: 16 },
    used_synthetic: false,
    analysis: { recommended_method: "sft", approved_examples: 108 },
  });
  expect(JSON.parse(readFileSync(join(adapter, "result.json"), "utf8"))).toEqual(result);
  for (
    const file of ["adapter_config.json", "adapter_model.safetensors", "tokenizer_config.json"]
  ) {
    expect(existsSync(join(adapter, file))).toBe(true);
  }
  const { manifest } = JSON.parse(
    `{"manifest": ${readFileSync(join(adapter, "run.json"), "utf8")}}`,
  );
  expect(manifest.settings).toMatchObject({ batch: 4, lr: 2e-4, rank: 8, alpha: 16, patience: 2 });
});

test("preferences from a server, triplets from files", async () => {
  const dir = folder();
  const spans = Array.from({ length: 22 }, (_, n) => routed(n));
  const annotations = spans.flatMap((span) => [
    judgement(span, "approved", 1, { metadata: { corrected_output: "agent_9" } }),
    judgement(span, "rejected", 0),
  ]);
  using server = mockPhoenix({ "cogniverse-t": { spans, annotations } });
  const argv = ["--tenant-id", "t", "--agent-type", "routing", "--smoke", "--json"];
  const ran = await auto(dir, argv, { PHOENIX_ENDPOINT: server.url });
  expect(ran.code).toBe(0);
  expect(last(ran.out)).toMatchObject({
    training_method: "dpo",
    metrics: { train_reward_accuracy: expect.any(Number), train_reward_margin: expect.any(Number) },
    data: { project: "cogniverse-t", rows: 22 },
  });
  const search = ["--from", example, "--model-type", "embedding", "--modality", "video"];
  const few = await auto(dir, search);
  expect(few.code).toBe(3);
  expect(few.err).toContain("Insufficient triplets: 12 < 100.");
  const embedded = await auto(dir, [...search, "--min-triplets", "10", "--smoke", "--json"]);
  expect(embedded.code).toBe(0);
  expect(last(embedded.out)).toMatchObject({
    model_type: "embedding",
    training_method: "embedding",
  });
  expect(readdirSync(join(dir, "adapters")).map((name) => name.replace(/_\d.*/, "")).sort())
    .toEqual(["dpo_routing", "embedding_video"]);
});

test("too few rows: others are written, wait for a person, and only approved ones train", async () => {
  const dir = folder(), file = join(dir, "few.jsonl");
  const all = JSON.parse(readFileSync(example, "utf8")) as object[];
  writeFileSync(file, all.slice(0, 48).map((span) => JSON.stringify(span)).join("\n"));
  const from = ["--from", file, "--agent", "routing", ...SHORT];

  const none = await auto(dir, from);
  expect(none.code).toBe(3);
  expect(none.err).toContain("Insufficient preference pairs: 5 < 20. Need spans with both");
  expect(none.err).toContain("Insufficient approved examples: 44 < 50.");
  expect(none.err).toContain("--teacher anthropic, openai:MODEL or local:DIR");
  const strict = await auto(dir, [...from, "--no-generate-synthetic"]);
  expect(strict.err).toContain("Generate synthetic or collect more data");
  expect(existsSync(join(dir, "adapters"))).toBe(false);

  let asked = 0;
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      asked++;
      const prompt = JSON.stringify(await request.json());
      expect(prompt).toContain("weather_agent");
      const rows = Array.from({ length: 9 }, (_, i) => ({
        input: `what is the weather on day ${i} of trip ${asked}`,
        context: null,
        output: "weather_agent",
      }));
      return Response.json({
        choices: [{
          message: { role: "assistant", content: JSON.stringify(rows) },
          finish_reason: "stop",
        }],
        usage: { prompt_tokens: 100, completion_tokens: 100 },
      });
    },
  });
  const env = {
    OPENAI_API_KEY: "canary-key-0123456789",
    OPENAI_BASE_URL: `http://127.0.0.1:${server.port}/v1`,
  };
  const taught = [...from, "--teacher", "openai:any"];
  const stopped = await auto(dir, taught, env);
  expect(stopped.code).toBe(10);
  const queue = join(dir, "queue");
  const [first] = listBatches(queue);
  expect(first!.id).toMatch(/^synthetic_routing_/);
  expect(first!.items).toBe(8);
  expect(stopped.err).toContain(`whet data review ${first!.id}`);
  // While it waits nobody is asked again.
  expect((await auto(dir, taught, env)).code).toBe(10);
  expect(asked).toBe(1);

  const batch = await Batch.open(queue, first!.id);
  await batch.decide("ada", [
    ...[1, 2, 3, 4, 5].map((item) => ({ item, what: "approve" as const })),
    ...[6, 7, 8].map((item) => ({ item, what: "reject" as const, reason: "odd" })),
  ]);
  // Five of the six that were missing: more are written, in a batch of its own.
  expect((await auto(dir, taught, env)).code).toBe(10);
  const second = listBatches(queue).find(({ counts }) => counts.waiting > 0)!;
  await (await Batch.open(queue, second.id)).decide("ada", [
    { item: 1, what: "approve" },
    ...Array.from({ length: second.items - 1 }, (_, i) => ({
      item: i + 2,
      what: "reject" as const,
      reason: "enough",
    })),
  ]);
  const done = await auto(dir, [...taught, "--json"], env);
  expect(done.code).toBe(0);
  const result = last(done.out);
  expect(result).toMatchObject({ training_method: "sft", used_synthetic: true });
  expect(result.data).toMatchObject({ rows: 50, synthetic: 6 });
  const rows = readFileSync(result.data.file, "utf8").trimEnd().split("\n").map((l) =>
    JSON.parse(l)
  );
  const written = rows.filter(({ metadata }) => metadata.synthetic);
  expect(written.map(({ metadata }) => metadata.batch_id)).toEqual([
    ...Array(5).fill(first!.id),
    second.id,
  ]);
  expect(written[0]).toMatchObject({
    instruction: "Route the following query to the appropriate agent",
    input: "what is the weather on day 0 of trip 1",
    output: "weather_agent",
  });
});

test("where no adapter can be made, all weights are trained, with the documented warning", async () => {
  const dir = folder(), out = join(dir, "run");
  const argv = ["--from", example, "--agent", "routing", "--target", "q_prog", "--smoke"];
  const ran = await auto(dir, [...argv, "-o", out, "--json"]);
  expect(ran.code).toBe(0);
  expect(ran.err).toContain(
    "warning: Failed to apply LoRA (continuing with full fine-tuning): KeyError: 'q_prog'",
  );
  expect(last(ran.out).lora_config).toEqual({ use_lora: false });
  const refused = await auto(dir, [...argv, "--on-lora-failure", "error"]);
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("LoRA failure: Unsupported architecture.");
  // Nothing is left of a run that never began.
  expect(readdirSync(join(dir, "adapters"))).toEqual([]);
});

test("what cannot be is refused by name, before anything is written", async () => {
  const dir = folder();
  const refusals: [argv: string[], code: number, text: string][] = [
    [["--from", example, "--backend", "remote"], 2, "use --backend local"],
    [["--from", `phoenix,${example}`], 2, "names the server and files"],
    [
      ["--from", example, "--agent", "routing", "--min-dpo", "5", "--no-use-lora"],
      2,
      "--min-dpo 13",
    ],
    [
      ["--from", example, "--agent", "cooking"],
      2,
      "routing, profile_selection or entity_extraction",
    ],
    [["--from", join(dir, "nowhere.json")], 3, "there is no such file"],
  ];
  for (const [argv, code, text] of refusals) {
    const ran = await auto(dir, argv);
    expect({ argv, code: ran.code }).toEqual({ argv, code });
    expect(ran.err).toContain(text);
  }
  const lost = await inside("train auto", ["-m", join(dir, "none"), "--from", example]);
  expect(lost.code).toBe(3);
  expect(readdirSync(dir)).toEqual([]);
  // A dry run says what it would take and writes nothing either.
  const dry = await auto(dir, [
    "--from",
    example,
    "--agent",
    "routing",
    "--gpu",
    "A10G",
    "--dry-run",
  ]);
  expect(dry.code).toBe(0);
  expect(dry.err).toContain("--gpu: of a remote backend, and not used");
  expect(readdirSync(dir)).toEqual([]);
});

test("a schema made of the answers that were approved", () => {
  const row = (output: string) => ({ instruction: "Route", output });
  const few = schemaOf(["a", "b", "a", "b", "a"].map(row));
  expect(few).toMatchObject({ type: "string", enum: ["a", "b"] });
  expect(few.description).toContain("Answers to: Route.");
  expect(schemaOf(["one", "two", "three"].map(row))).toMatchObject({
    type: "string",
    minLength: 1,
  });
  const objects = [
    { profile: "fast", k: 5, why: "x" },
    { profile: "deep", k: 3 },
    ...Array(8).fill({ profile: "deep", k: 1 }),
  ];
  expect(schemaOf(objects.map((one) => row(JSON.stringify(one))))).toMatchObject({
    type: "object",
    properties: {
      profile: { type: "string", enum: ["deep", "fast"] },
      k: { type: "number" },
      why: { type: "string" },
    },
    required: ["profile", "k"],
  });
  expect(() => schemaOf([])).toThrow("it is not known what answers look like");
});
