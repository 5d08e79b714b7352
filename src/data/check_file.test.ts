import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noise } from "../../kernels/check.ts";
import { Checker, Held } from "./check.ts";
import { checkFile, type CheckFileOptions } from "./check_file.ts";
import type { RowOptions } from "./rows.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "whet-check-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

const next = noise(9);
const below = (n: number) => Math.floor((next() + 1) / 2 * n);
const words = (n: number) =>
  Array.from({ length: n }, () => `${["röt", "leaf", "sky", "Ωm"][below(4)]}${below(900)}`)
    .join(" ");

/** Rows of all forms with everything that a check finds, and everything that is odd in lines. */
function lines(count: number): string[] {
  const asked = Array.from({ length: count }, () => words(20));
  const other = (i: number) => asked[below(i + 1)]!;
  const say = (role: string, content: string) => ({ role, content });
  const forms: readonly ((i: number) => string | object)[] = [
    (i) => ({ prompt: asked[i], completion: words(9) }),
    (i) => ({ prompt: asked[i], completion: words(1) }),
    (i) => ({ prompt: other(i), completion: "another answer" }),
    (i) => ({ prompt: `${other(i)} and more`, completion: words(1) }),
    (i) => ({
      messages: [say("system", "s"), say("user", asked[i]!), say("assistant", words(3))],
    }),
    (i) => ({ text: asked[i] }),
    (i) => ({ input_ids: [i, 2], labels: [-100, 2] }),
    (i) => ({
      instruction: asked[i],
      context: i % 3 ? { page: 1 } : null,
      output: { [`slot${below(400)}`]: below(9), intent: ["a", "b"][below(2)], [words(1)]: [] },
    }),
    (i) => ({ id: i, prompt: "only" }),
    () => '{"prompt": "cut',
    () => '{"prompt": "\\ud800", "completion": "half"}',
    () => "  \t",
    () => "",
    () => '{"prompt": "twice", "completion": "same"}',
  ];
  return Array.from({ length: count }, (_, i) => {
    const made = forms[below(forms.length)]!(i);
    return (typeof made === "string" ? made : JSON.stringify(made)) + (i % 50 ? "" : "\r");
  });
}

/** The report as the machine sees it, with both orders of keys kept. */
async function report(path: string, options: CheckFileOptions, rows: RowOptions, held?: Held) {
  const checker = new Checker({ ...rows, against: held });
  await checkFile(path, checker, options);
  const { lengths, ...rest } = checker.report();
  return JSON.stringify({ ...rest, longest: lengths.longest, bins: lengths.bins() });
}

test("threads report what one does: copies, lines of bad rows, labels, lengths", async () => {
  const first = '{"prompt": "first", "completion": "row"}\n';
  const some = lines(6000);
  const long = [
    JSON.stringify({ prompt: words(100_000), completion: "long" }),
    `{"prompt": "${"x".repeat(33 * 2 ** 20)}`,
    JSON.stringify({ prompt: "after it", completion: "all is as before" }),
  ];
  const files = {
    plain: first + some.join("\n"),
    mark: `\ufeff${first}${some.slice(0, 50).join("\n")}\n{"prompt": "not ended`,
    long: first + [...some.slice(0, 900), ...long, ...some.slice(0, 40)].join("\n") + "\n\n",
    "bad first": `{"x\n{"x\n${first.slice(0, -1)}  \n${some.slice(0, 20).join("\n")}`,
  };
  const held = new Held();
  some.filter((line) => line.startsWith('{"prompt":"')).slice(0, 300).forEach((line, i) => {
    held.add({ line: i + 1, text: line, value: JSON.parse(line) });
  });
  for (const [name, text] of Object.entries(files)) {
    const path = join(dir, "rows.jsonl");
    writeFileSync(path, text);
    const alone = await report(path, { threads: 0 }, {}, held);
    expect([name, await report(path, { threads: 2, large: 0 }, {}, held)]).toEqual([name, alone]);
  }
  const path = join(dir, "rows.jsonl");
  writeFileSync(path, files.plain);
  const mapped = { map: { prompt: "prompt", response: "completion" } };
  const alone = await report(path, { threads: 0 }, mapped);
  expect(await report(path, { threads: 2, large: 0 }, mapped)).toBe(alone);
  expect(JSON.parse(alone).counts).toMatchObject({ bad: expect.any(Number) });
  // What threads that cannot start, or end, should have done is done here.
  const failing = join(dir, "failing.ts");
  writeFileSync(
    failing,
    'import { parentPort } from "node:worker_threads";\n' +
      'parentPort.on("message", () => process.exit(3));\n',
  );
  expect(await report(path, { threads: 2, large: 0, program: failing }, mapped)).toBe(alone);
});
