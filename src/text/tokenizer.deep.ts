import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Fail } from "../base/fail.ts";
import { smallTokenizerFiles } from "./testing.ts";
import { randomTexts } from "./testing_texts.ts";
import { createTokenizer, loadTokenizer, type Tokenizer } from "./tokenizer.ts";

const fixtures = `${import.meta.dir}/../../../shared/fixtures/tokenizers`;
const present = existsSync(fixtures);
if (!present) console.log(`skipped: tokenizer cases are not at ${fixtures}`);

function comesBack(tokenizer: Tokenizer, count: number): void {
  for (const text of randomTexts(count, 7)) {
    const ids = tokenizer.encode(text);
    const decoded = tokenizer.decode(ids.slice(tokenizer.prefix.length));
    if (decoded !== text) {
      throw new Error(`${JSON.stringify(text)} became ${JSON.stringify(decoded)}`);
    }
    const stream = tokenizer.decoder();
    const streamed = ids.map((id) => stream.push(id)).join("") + stream.flush();
    if (streamed !== tokenizer.decode(ids)) throw new Error(`streamed: ${JSON.stringify(text)}`);
  }
}

test("100,000 random Unicode texts come back", () => {
  comesBack(createTokenizer(smallTokenizerFiles()), 100_000);
}, 600_000);

for (const name of ["gpt2", "phi2", "llama3.2"]) {
  test.skipIf(!present)(`100,000 random Unicode texts come back from ${name}`, async () => {
    comesBack(await loadTokenizer(`${fixtures}/${name}`), 100_000);
  }, 600_000);
}

for (const name of ["gpt2", "phi2", "llama3.2", "llama-spm", "bert"]) {
  test.skipIf(!present)(`${name} encodes 100,000 tokens a second of this thread`, async () => {
    const tokenizer = await loadTokenizer(`${fixtures}/${name}`);
    const text = await Bun.file(`${import.meta.dir}/../../README.md`).text();
    let best = 0;
    for (let round = 0; round < 5; round++) {
      const before = process.cpuUsage();
      const ids = tokenizer.encode(`${round} ${text.replaceAll("e", `e${round}`)}\n${text}`);
      const { user, system } = process.cpuUsage(before);
      best = Math.max(best, ids.length / ((user + system) / 1e6));
    }
    console.log(`${name}: ${Math.round(best).toLocaleString("en")} tokens/s, best of 5, CPU time`);
    expect(best).toBeGreaterThan(100_000);
  }, 600_000);
}

test("tokenizer.json with any part replaced by any other kind of value is read or refused", () => {
  const values = [null, -1, 1e9, 0.5, "", "x", "\ud800", [], [[]], {}, true, "(".repeat(9)];
  const base = smallTokenizerFiles().json;
  const paths: (string | number)[][] = [];
  const walk = (value: unknown, path: (string | number)[]) => {
    if (path.length > 0 && (path.at(-2) !== "vocab" || paths.length % 7 === 0)) paths.push(path);
    if (typeof value !== "object" || value === null) return;
    for (const [key, part] of Object.entries(value)) walk(part, [...path, key]);
  };
  walk(base, []);
  for (const path of paths) {
    for (const value of values) {
      const json = structuredClone(base);
      let at = json as Record<string | number, unknown>;
      for (const key of path.slice(0, -1)) at = at[key] as typeof at;
      at[path.at(-1)!] = value;
      try {
        createTokenizer({ json }).encode("the <s> é");
      } catch (error) {
        if (!(error instanceof Fail)) throw new Error(`${path.join(".")}: ${String(error)}`);
      }
    }
  }
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
}, 600_000);
