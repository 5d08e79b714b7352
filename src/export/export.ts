import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { writeFile } from "../base/durable.ts";
import { Exit, Fail } from "../base/fail.ts";
import { openCheckpoint, type Quant, specOf } from "../architectures/model.ts";
import { bytesIn } from "../formats/model_files.ts";
import { readImatrix } from "../formats/imatrix.ts";
import type { ModelFolder } from "../formats/model_folder.ts";
import { withQuantised } from "../formats/quantised_folder.ts";
import { readSentenceConfig, writeSentenceConfig } from "../formats/sentence.ts";
import { type Adapter, readAdapter, writeAdapter } from "../formats/peft.ts";
import { exportGgufLora } from "./gguf_lora.ts";
import type { GgufQuant } from "./gguf_mixtures.ts";
import { exportGguf, type Progress } from "./gguf_model.ts";
import { requireNew } from "./place.ts";
import { asTrained } from "./as_trained.ts";
import { openGgufModel } from "./gguf_folder.ts";
import { exportMerged } from "./merge.ts";
import { modelfile, type TrainedPrompt } from "./modelfile.ts";
import { companions } from "./shards.ts";
import { checkDrift, type Drift } from "./verify.ts";
import { mergeAdapter } from "./weights.ts";

/** What is written: one GGUF file, the adapter as GGUF, a merged model folder, or a PEFT folder. */
export type ExportForm = "gguf" | "gguf-lora" | "merged" | "adapter";

export interface ExportOptions {
  /** A run, a PEFT adapter folder or a model folder. */
  readonly source: string;
  /** The base model, where it is not at the place the adapter recorded. */
  readonly base?: string;
  /** The task whose adapter the base has merged in. */
  readonly task?: string;
  /** How the base was kept in training, where the adapter is to be merged onto what that left of it. */
  readonly asTrained?: Quant;
  /** The file (GGUF) or folder to write. */
  readonly out: string;
  readonly form: ExportForm;
  /** For GGUF; f16 by default. */
  readonly quant?: GgufQuant;
  readonly name?: string;
  /** The prompt lock of the run: into the GGUF file, and what the Modelfile says. */
  readonly prompt?: TrainedPrompt;
  readonly pretokenizer?: string;
  /** An importance matrix of llama.cpp's, for GGUF of mixed types. */
  readonly imatrix?: string;
  /** Writes an Ollama Modelfile for this name beside the GGUF file. */
  readonly ollama?: string;
  /** Bytes of a GGUF file at most: more is written in parts. */
  readonly splitBytes?: number;
  /** Refuses to write over what is there. */
  readonly keep?: boolean;
  /** Bytes of a file of a merged model at most, 5 GB as transformers has it. */
  readonly shardBytes?: number;
  /** Reads a GGUF file back and compares every tensor with the source. */
  readonly verify?: boolean;
  readonly onProgress?: (progress: Progress) => void;
}

export interface ExportReport {
  readonly path: string;
  readonly form: ExportForm;
  readonly bytes: number;
  /** Of the one file, for GGUF. */
  readonly sha256?: string;
  readonly files: readonly string[];
  readonly warnings: readonly string[];
  readonly drift?: Drift;
  /** Where the Modelfile is. */
  readonly modelfile?: string;
}

interface Source extends Disposable {
  readonly model: ModelFolder;
  readonly adapter: Adapter | undefined;
  readonly tokenizerDir: string;
}

async function openSource(
  { source, base, task, asTrained: quant }: ExportOptions,
): Promise<Source> {
  const adapter = existsSync(join(source, "adapter_config.json"))
    ? await readAdapter(source)
    : undefined;
  const dir = adapter === undefined
    ? source
    : base ?? (adapter.config.base_model_name_or_path || undefined);
  if (dir === undefined || (adapter !== undefined && !existsSync(dir))) {
    throw new Fail(
      dir === undefined
        ? `${source} does not say what its base model is`
        : `the base model of ${source} is not at ${dir}`,
      { fix: "name it with --base DIR", exit: Exit.usage },
    );
  }
  if (adapter === undefined && base !== undefined) {
    throw new Fail(`${source} is no adapter, so --base has no meaning`, { exit: Exit.usage });
  }
  if (dir.endsWith(".gguf")) {
    throw new Fail(`the base model of ${source} is a GGUF file: it cannot be written again`, {
      why: "a merge needs the model folder, with its tokenizer files",
      fix: "name the folder that the file was made of: --base DIR",
      exit: Exit.usage,
    });
  }
  const saved = withQuantised(await openCheckpoint(dir, task));
  // What was quantised on disk was not quantised again.
  const model = quant && !saved.quantised
    ? asTrained(saved, quant, specOf(saved.config).architecture.linears)
    : saved;
  const tokenizerDir = existsSync(join(source, "tokenizer.json")) ? source : dir;
  return { model, adapter, tokenizerDir, [Symbol.dispose]: () => model.close() };
}

function needAdapter({ adapter }: Source, form: ExportForm, source: string): Adapter {
  if (adapter !== undefined) return adapter;
  throw new Fail(`${source} is a whole model: there is no adapter to write as ${form}`, {
    fix: "export it with --gguf",
    exit: Exit.usage,
  });
}

/** Writes the Modelfile beside the file, from what the file says. */
async function writeModelfile(gguf: string, prompt: TrainedPrompt | undefined) {
  using model = openGgufModel(gguf);
  const { tokenizer, template } = model, text = (id?: number) => tokenizer.tokenText(id ?? -1);
  const made = modelfile({
    from: `./${basename(gguf)}`,
    template,
    bos: tokenizer.addsBos ? text(tokenizer.bos) : undefined,
    stops: tokenizer.eosIds.map(text).filter((stop) => stop !== undefined),
    context: specOf(model.config).sizes.context,
    prompt,
  });
  const path = join(dirname(gguf), "Modelfile");
  await writeFile(path, made.text);
  return { path, warnings: made.warnings };
}

/** What modules.json says beside the adapter or the model; a mean for an encoder that has none. */
function poolingOf({ source: from }: ExportOptions, { model }: Source) {
  const found = readSentenceConfig(from) ?? readSentenceConfig(model.dir);
  if (found?.pooling === "mean_sqrt_len") return undefined; // llama.cpp has none like it
  return found?.pooling ?? (specOf(model.config).architecture.bidirectional ? "mean" : undefined);
}

/** What sentence-transformers needs beside the weights, where the adapter or its base has it. */
async function writeSentence({ source, out }: ExportOptions, { model }: Source): Promise<void> {
  const found = readSentenceConfig(source) ?? readSentenceConfig(model.dir);
  if (found) await writeSentenceConfig(out, found, specOf(model.config).sizes.width);
}

async function gguf(options: ExportOptions, source: Source): Promise<ExportReport> {
  const { out, quant = "f16", verify, ollama, imatrix } = options;
  const importance = imatrix === undefined
    ? undefined
    : { ...readImatrix(imatrix), file: basename(imatrix) };
  const { warnings, ...written } = await exportGguf({
    ...source,
    quant,
    out,
    name: options.name ?? basename(options.source),
    pooling: poolingOf(options, source),
    pretokenizer: options.pretokenizer,
    prompt: options.prompt,
    importance,
    splitBytes: options.splitBytes,
    check: options.keep ? requireNew : undefined,
    onProgress: options.onProgress,
  });
  const { path, paths } = written, files = paths.map((path) => basename(path));
  const report = { form: options.form, files, warnings, ...written };
  const { model, adapter } = source;
  const drift = verify
    ? checkDrift(path, adapter === undefined ? model : mergeAdapter(model, adapter), !!importance)
    : undefined;
  if (ollama === undefined) return { ...report, drift };
  const beside = await writeModelfile(path, options.prompt);
  return {
    ...report,
    drift,
    modelfile: beside.path,
    warnings: [...warnings, ...beside.warnings],
  };
}

async function adapterFolder(options: ExportOptions, source: Source) {
  const { out, source: from } = options;
  const { config, tensors } = needAdapter(source, "adapter", from);
  const { size, sha256 } = await writeAdapter(out, config, tensors);
  const files = ["adapter_model.safetensors", "adapter_config.json"];
  for (const name of companions.filter((name) => name !== "generation_config.json")) {
    const content = bytesIn(source.tokenizerDir, name, 512 * 2 ** 20);
    if (content === undefined) continue;
    await writeFile(join(out, name), content);
    files.push(name);
  }
  await writeSentence(options, source);
  return { path: out, form: "adapter", bytes: size, sha256, files, warnings: [] } as const;
}

/**
 * A file is not written where a folder is, nor a folder where a file is, nor anything over its source;
 * nor, where that is to be kept, over what is there.
 */
function checkPlace({ source, out, form, keep, ollama, splitBytes }: ExportOptions): void {
  const there = statSync(out, { throwIfNoEntry: false });
  const file = form === "gguf" || form === "gguf-lora";
  const own = resolve(source) === resolve(out);
  if (!own && (!there || there.isDirectory() !== file)) {
    if (!keep) return;
    // Parts have names of their own.
    if (!file || !splitBytes) requireNew(out);
    if (ollama !== undefined) requireNew(join(dirname(out), "Modelfile"));
    return;
  }
  const kind = there?.isDirectory() ? "a folder" : "a file";
  throw new Fail(own ? `${out} is what is to be exported` : `${out} is ${kind}`, {
    why: file ? "a GGUF file is written" : "a folder is written",
    fix: `name another place with -o, such as ${file ? "model.gguf" : "exported"}`,
    exit: Exit.usage,
  });
}

/**
 * Writes a run, adapter or model in another form. Everything streams; a file is there whole or not.
 *
 * @throws Fail when source and form do not fit together (exit 2), anything is missing or damaged
 *   (exit 3), the file read back differs more than its type explains (exit 9), the disk refuses (12)
 */
export async function exportRun(options: ExportOptions): Promise<ExportReport> {
  const { form, out, shardBytes, onProgress } = options;
  if (options.imatrix !== undefined && form !== "gguf") {
    throw new Fail("--imatrix belongs to --gguf", {
      why: "only GGUF has types that an importance matrix helps to quantise",
      fix: "add --gguf --quant q4_k_m, or leave it out",
      exit: Exit.usage,
    });
  }
  if ((options.ollama !== undefined || options.verify) && form !== "gguf") {
    throw new Fail("--ollama and --verify belong to --gguf", {
      why: "they describe and check a GGUF file",
      fix: "add --gguf and a file, as in -o model.gguf",
      exit: Exit.usage,
    });
  }
  const { splitBytes, ollama } = options;
  if (splitBytes && (form !== "gguf" || ollama !== undefined)) {
    throw new Fail(`--split-max-size does not go with ${form === "gguf" ? "--ollama" : form}`, {
      why: form === "gguf" ? "Ollama imports one file" : "only a GGUF model is split by it",
      fix: form === "merged" ? "--shard-size" : "leave it out",
      exit: Exit.usage,
    });
  }
  checkPlace(options);
  using source = await openSource(options);
  const { model, tokenizerDir } = source;
  switch (form) {
    case "gguf":
      return await gguf(options, source);
    case "gguf-lora": {
      const adapter = needAdapter(source, form, options.source);
      const name = options.name ?? basename(options.source);
      const written = await exportGgufLora({ model, adapter, out, name });
      return { form, files: [basename(out)], ...written };
    }
    case "merged": {
      const adapter = needAdapter(source, form, options.source);
      const written = await exportMerged({
        model,
        adapter,
        out,
        tokenizerDir,
        shardBytes,
        onProgress,
      });
      await writeSentence(options, source);
      return { form, warnings: [], ...written };
    }
    case "adapter":
      return await adapterFolder(options, source);
  }
}
