import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fail } from "../base/fail.ts";
import { createChatTemplate, defaultTemplate, findChatTemplate } from "./chat_template.ts";
import { compileJinja, jinjaLimits } from "./jinja.ts";

const tokenizer = { config: { bos_token: "<s>", eos_token: { content: "</s>" } }, addsBos: true };
const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello" },
];
const chatml =
  "{% for m in messages %}{{'<|im_start|>'+m['role']+'\\n'+m['content']+'<|im_end|>\\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\\n'}}{% endif %}";

test("ChatML as Python's Jinja renders it", () => {
  const template = createChatTemplate(chatml, tokenizer);
  expect(template.render(messages.slice(0, 2), { addGenerationPrompt: true })).toBe(
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
});

test("the default template: headings, blank lines, EOS after answers, BOS once", () => {
  const template = createChatTemplate(defaultTemplate, tokenizer);
  expect(template.render(messages)).toBe(
    "<s>Be brief.\n\nUser:\nHi\n\nAssistant:\nHello</s>",
  );
  const asked = template.render(messages.slice(0, 2), { addGenerationPrompt: true });
  expect(asked).toBe("<s>Be brief.\n\nUser:\nHi\n\nAssistant:\n");
  expect(template.render(messages).startsWith(asked)).toBe(true);
  const without = createChatTemplate(defaultTemplate, { ...tokenizer, addsBos: false });
  expect(without.render(messages)).toStartWith("Be brief.");
  expect(() => template.render([{ role: "robot", content: "" }])).toThrow("template failed");
});

test("CRLF in a template counts as LF, and blocks are trimmed", () => {
  const unix = "{%- for m in messages %}\n  {% if true %}\nx\n  {% endif %}\n{% endfor %}";
  const windows = unix.replaceAll("\n", "\r\n");
  expect(compileJinja(windows)({ messages })).toBe("x\nx\nx\n");
  expect(compileJinja(windows)({ messages })).toBe(compileJinja(unix)({ messages }));
});

test("the date is the caller's", () => {
  const template = createChatTemplate("{{ strftime_now('%d %b %Y, %A %I%p %%') }}", tokenizer);
  expect(template.render([], { date: new Date(2024, 6, 26, 13) })).toBe(
    "26 Jul 2024, Friday 01PM %",
  );
});

test("what a template raises reaches the user", () => {
  const template = createChatTemplate("{{ raise_exception('no system role') }}", tokenizer);
  try {
    template.render(messages);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(Fail);
    expect((error as Fail).why).toBe("no system role");
  }
});

test("a message without a role is named", () => {
  const template = createChatTemplate(chatml, tokenizer);
  expect(() => template.render([messages[0]!, { content: "x" } as never])).toThrow("message 2");
});

describe("hostile templates end soon with a Fail", () => {
  const usual = { ...jinjaLimits };
  beforeAll(() => Object.assign(jinjaLimits, { milliseconds: 300 }));
  afterAll(() => Object.assign(jinjaLimits, usual));

  const hostile: [string, string][] = [
    ["a long range", "{{ range(1000000000) }}"],
    [
      "nested ranges",
      "{% for i in range(3000) %}{% for j in range(3000) %}x{% endfor %}{% endfor %}",
    ],
    [
      "doubling",
      "{% set x = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set x.s = x.s + x.s %}{% endfor %}",
    ],
    ["recursion", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"],
    ["a range that never ends", "{{ range(0, 1, 0) }}"],
    ["many ranges", "{% for i in range(1000) %}{% set x = range(100000) %}{% endfor %}"],
    ["deep brackets", `{{ ${"(".repeat(1e5)}1${")".repeat(1e5)} }}`],
    ["an unfinished block", "{% for m in messages %}"],
  ];
  for (const [name, source] of hostile) {
    test(name, () => {
      const start = performance.now();
      expect(() => compileJinja(source)({ messages })).toThrow(Fail);
      expect(performance.now() - start).toBeLessThan(2000);
    });
  }

  test("nothing of the host is reachable", () => {
    const before = Object.getOwnPropertyNames(Object.prototype).join();
    for (
      const source of [
        "{{ messages.constructor }}",
        "{{ messages.__proto__ }}",
        "{{ ''.constructor }}",
        "{{ messages[0].__proto__ }}",
        "{{ messages[0]['constructor'] }}",
        "{{ process }}{{ globalThis }}{{ Bun }}{{ self }}",
      ]
    ) {
      expect(compileJinja(source)({ messages })).toBe("");
    }
    expect(() => compileJinja("{{ ''.constructor.constructor('return 1')() }}")({})).toThrow(Fail);
    expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(before);
  });
});

test("where a folder's template is found", async () => {
  const dir = await mkdtemp(join(tmpdir(), "whet-"));
  try {
    expect(await findChatTemplate(dir, {})).toBeUndefined();
    await writeFile(join(dir, "chat_template.json"), '{"chat_template": "json"}');
    expect(await findChatTemplate(dir, {})).toBe("json");
    await writeFile(join(dir, "chat_template.jinja"), "jinja");
    expect(await findChatTemplate(dir, {})).toBe("jinja");
    const named = [{ name: "tool_use", template: "t" }, { name: "default", template: "d" }];
    expect(await findChatTemplate(dir, { chat_template: named })).toBe("d");
    expect(await findChatTemplate(dir, { chat_template: "config" })).toBe("config");
  } finally {
    await rm(dir, { recursive: true });
  }
});
