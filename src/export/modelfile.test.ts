import { describe, expect, test } from "bun:test";
import { createChatTemplate } from "../text/chat_template.ts";
import { modelfile } from "./modelfile.ts";

const tokens = { bos_token: "<s>", eos_token: "</s>" };
const made = (source: string | undefined, prompt?: object, bos?: string) =>
  modelfile({
    from: "./m.gguf",
    template: source === undefined
      ? undefined
      : createChatTemplate(source, { config: tokens, addsBos: bos !== undefined }),
    bos,
    stops: ["</s>"],
    context: 131072,
    prompt,
  });

const chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + " +
  "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

describe("modelfile", () => {
  test("says the template of conversations word for word", () => {
    const { text, warnings } = made(chatml, { system: "Answer in JSON.", template_sha256: "x" });
    expect(warnings).toEqual([]);
    expect(text).toBe(`FROM ./m.gguf
TEMPLATE """{{- range $i, $m := .Messages }}
{{- if eq .Role "system" }}{{ "<|im_start|>system\\n" }}{{ .Content }}
{{- else if eq .Role "user" }}{{ if eq $i 0 }}{{ "<|im_start|>user\\n" }}{{ else if and (eq $i 1) $.System }}{{ "<|im_end|>\\n<|im_start|>user\\n" }}{{ else }}{{ "<|im_start|>user\\n" }}{{ end }}{{ .Content }}{{ "<|im_end|>\\n<|im_start|>assistant\\n" }}
{{- else if eq .Role "assistant" }}{{ .Content }}{{ "<|im_end|>\\n" }}
{{- end }}
{{- end }}"""
SYSTEM """Answer in JSON."""
PARAMETER stop "</s>"
PARAMETER num_ctx 8192
PARAMETER temperature 0
PARAMETER repeat_penalty 1
`);
  });

  test("leaves the begin token to Ollama, which adds it by itself", () => {
    const llama = "{{ bos_token }}" + chatml;
    expect(made(llama, undefined, "<s>")).toEqual(made(chatml, undefined, "<s>"));
    expect(made(llama).text).toContain('{{ "<s><|im_start|>user\\n" }}');
  });

  test("says a default system prompt, which stands only before a first question", () => {
    const withDefault =
      "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% endif %}" +
      chatml;
    const { text, warnings } = made(withDefault);
    expect(warnings).toEqual([]);
    expect(text).toContain(
      '{{ if eq $i 0 }}{{ "<|im_start|>system\\nBe kind.<|im_end|>\\n<|im_start|>user\\n" }}',
    );
  });

  test("says a system prompt inside the first question, as Llama 2 has it", () => {
    const inst = "{% set s = '' %}{% if messages[0].role == 'system' %}" +
      "{% set s = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}{% set messages = messages[1:] %}{% endif %}" +
      "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + (s if loop.first else '') + m.content + ' [/INST]' }}" +
      "{% else %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}";
    const { text, warnings } = made(inst);
    expect(warnings).toEqual([]);
    expect(text).toContain('{{ "[INST] <<SYS>>\\n" }}{{ .Content }}');
    // An earlier answer has a space before it that a new one writes itself.
    expect(text).toContain('"assistant" }}{{ " " }}{{ .Content }}{{ " </s>" }}');
  });

  test("warns where a template's conversations depend on more than their place", () => {
    const shouting = chatml.replace("m.content", "(m.content | upper)");
    expect(made(shouting).warnings[0]).toContain("(every)");
  });

  test("a model that was trained on plain prompts is asked plainly, whatever its template", () => {
    expect(made(chatml, { template_sha256: null }).text).toContain('TEMPLATE """{{ .Prompt }}"""');
    expect(made(undefined).text).toContain('TEMPLATE """{{ .Prompt }}"""');
  });
});
