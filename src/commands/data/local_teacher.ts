import { modelNamed } from "../../base/model_names.ts";
import { Exit, Fail } from "../../base/fail.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { Call, Teacher } from "../../teachers/teacher.ts";
import { encodePrompt } from "../../text/prompt.ts";
import { Generator } from "../../generate/generator.ts";
import { generatorSize } from "../use/infer.ts";
import type { Io } from "../io.ts";
import { load, openBoth } from "../use/loaded.ts";
import { textsOf } from "../use/texts.ts";

/**
 * A model folder or GGUF file on this machine's GPU as a teacher. Its chat template is used where it has
 * one.
 * @throws Fail (data) where the model cannot be read; (gpu)
 */
export async function localTeacher(
  path: string,
  settings: CommonSettings & { temp: number; seed: number },
  io: Io,
): Promise<Teacher<Call> & Disposable> {
  const model = modelNamed(path) ?? path;
  const { tokenizer, template } = await textsOf(model);
  const opened = await openBoth({ model });
  const { context } = opened.model.sizes;
  const { temp, seed } = settings;
  let loaded: Awaited<ReturnType<typeof load>> | undefined;
  return {
    name: `local:${path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "")}`,
    paid: false,
    async ask({ prompt, call }, maxTokens) {
      const asked = template === undefined
        ? { prompt }
        : { messages: [{ role: "user", content: prompt }] };
      const ids = encodePrompt(tokenizer, asked, { template });
      const room = context - ids.length;
      if (room < 64) {
        throw new Fail(`the prompt has ${ids.length} tokens, and ${path} reads ${context}`, {
          why: "prompt and answer must fit together",
          fix: "a teacher with a longer context, a smaller schema, or a shorter --template",
          exit: Exit.data,
        });
      }
      loaded ??= await load(opened, settings, io);
      const { model, memory, adapted } = loaded;
      const most = Math.min(maxTokens, room);
      const generator = await Generator.create(
        model,
        memory,
        generatorSize(1, ids.length, most),
        adapted,
      );
      try {
        const sampling = { temperature: temp, topP: 1, seed: (seed + call) >>> 0 };
        const answers = generator.answers(
          [{ ids, maxTokens: most }],
          new Set(tokenizer.eosIds),
          sampling,
        );
        let text = "";
        for await (const answer of answers) {
          text = tokenizer.decode(answer.ids, { skipSpecial: true });
        }
        return { text };
      } finally {
        generator.free();
      }
    },
    [Symbol.dispose]() {
      (loaded ?? opened)[Symbol.dispose]();
    },
  };
}
