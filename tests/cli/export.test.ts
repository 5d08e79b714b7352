// Export of a quantised training under a template of its own, and the gate that compares answers.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringAt } from "../../src/formats/gguf_types.ts";
import { openGguf } from "../../src/formats/gguf.ts";
import { whet } from "./inside.ts";

const folder = mkdtempSync(join(tmpdir(), "whet-export-"));
const at = (...parts: string[]) => join(folder, ...parts);
const TEMPLATE =
  "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.role == 'assistant' %}" +
  "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
const last = (out: string) => JSON.parse(out.trim().split("\n").at(-1)!);

beforeAll(async () => {
  cpSync(join(import.meta.dir, "../../models/micro"), at("model"), { recursive: true });
  writeFileSync(at("own.jinja"), TEMPLATE);
  const rows = Array.from({ length: 24 }, (_, i) => ({
    messages: [
      { role: "system", content: "Count." },
      { role: "user", content: `count ${i}` },
      { role: "assistant", content: JSON.stringify({ n: i }) },
    ],
  }));
  writeFileSync(at("rows.jsonl"), rows.map((row) => JSON.stringify(row) + "\n").join(""));
  const { code, err } = await whet(
    [
      ...["train", "sft", "-m", "model", "-d", "rows.jsonl", "-o", "run", "--iters", "3"],
      ...["--batch", "4", "--lr", "5e-3", "--quant", "nf4", "--template", "own.jinja"],
    ],
    folder,
  );
  if (code !== 0) throw new Error(err);
});
afterAll(() => rmSync(folder, { recursive: true }));

const toGguf = (out: string, ...flags: string[]) =>
  whet(["export", "run", "-o", out, "--gguf", ...flags, "--verify-rows", "4", "--json"], folder);

test("merges onto the base that was trained on and answers as the training did", async () => {
  const { code, out, err } = await toGguf(
    "q.gguf",
    ...["--quant", "q8_0", "--verify", "--max-tokens", "8", "--ollama", "it"],
  );
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  const { merged_onto, equivalence } = last(out);
  expect(merged_onto).toBe("nf4, dequantised");
  expect(equivalence).toMatchObject({ rows: 4, texts: [], failed: [] });
  expect(equivalence.kl_mean).toBeLessThan(1e-3);
  expect(equivalence.measures.source.n).toBe(4);

  // The template and system prompt of the training, not those of the base.
  const text = readFileSync(at("Modelfile"), "utf8");
  expect(text).toContain('{{ "[user]" }}');
  expect(text).toContain('SYSTEM """Count."""');
  using file = openGguf(at("q.gguf"));
  expect(stringAt(file.metadata, "tokenizer.chat_template")).toBe(TEMPLATE);
  const ask = ["infer", "-m", "q.gguf", "--chat", "-p", "count 3", "--max-tokens", "2"];
  const [other, same] = await Promise.all([
    whet([...ask, "--strict-prompt"], folder),
    whet([...ask, "--strict-prompt", "--system", "Count."], folder),
  ]);
  expect([other.code, same.code]).toEqual([3, 0]);
  expect(other.err).toContain("the system prompt of the training is missing");
});

test("in f32 it is the trained model; onto the original base it is another one", async () => {
  const answers = ["--quant", "f32", "--verify", "--max-tokens", "1", "--max-drift", "1e-9"];
  const [trained, original] = await Promise.all([
    toGguf("trained.gguf", ...answers),
    toGguf("original.gguf", "--quant", "f32", "--merge-base", "original"),
  ]);
  expect(trained.code).toBe(0);
  expect(last(original.out).merged_onto).toBe("original");
  expect(readFileSync(at("trained.gguf")).equals(readFileSync(at("original.gguf")))).toBe(false);
});

test("exit 9 where it drifts further than allowed, or is asked under another template", async () => {
  cpSync(at("run"), at("bare"), { recursive: true });
  for (const name of ["tokenizer_config.json", "tokenizer.json"]) {
    cpSync(at("model", name), at("bare", name));
  }
  rmSync(at("bare/chat_template.jinja"));
  const [drifts, asks] = await Promise.all([
    toGguf("4.gguf", "--quant", "q4_0", "--verify", "--max-drift", "1e-9", "--max-tokens", "1"),
    whet(
      [
        ...["export", "bare", "-o", "bare.gguf", "--gguf", "--verify", "--verify-rows", "2"],
        ...["--max-tokens", "1"],
      ],
      folder,
    ),
  ]);
  expect([drifts.code, asks.code]).toEqual([9, 9]);
  expect(drifts.err).toContain("nats a token");
  expect(asks.err).toContain("a question becomes other tokens");
});

test("what cannot be compared or merged so is said", async () => {
  const said = async (...flags: string[]) => {
    const { code, err } = await whet(["export", "model", "-o", "x", ...flags], folder);
    return [code, err.split("\n")[0]];
  };
  expect(
    await Promise.all([
      said("--verify"),
      said("--gguf", "--merge-base", "dequant"),
      said("--gguf", "--verify-data", "rows.jsonl"),
    ]),
  ).toEqual([
    [2, "error: --verify answers does not belong to this export [WH0200]"],
    [2, "error: --merge-base dequant: the training did not quantise its base [WH0200]"],
    [2, "error: --verify-data is for --verify [WH0200]"],
  ]);
});
