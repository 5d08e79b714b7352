import type { Entry } from "./command.ts";

/**
 * Every command. Each file is loaded only when its command is called: a compiled program cannot look in
 * folders, and must start in an instant.
 */
export const table: readonly Entry[] = [
  {
    name: "demo",
    group: "Start",
    about: "Trains, measures and exports a tiny model: everything, in a few minutes",
    load: async () => (await import("./demo.ts")).demo,
  },
  {
    name: "init",
    group: "Start",
    about: "Writes a project: settings, a schema or rows to begin with, a justfile",
    load: async () => (await import("./init.ts")).init,
  },
  {
    name: "doctor",
    group: "This machine",
    about: "Shows what this machine has for whet, and what is missing",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  {
    name: "data check",
    group: "Data",
    about: "Finds what is wrong with rows, and proposes fixes",
    load: async () => (await import("./data_check.ts")).dataCheck,
  },
  {
    name: "data convert",
    group: "Data",
    about: "Turns rows of one form into another",
    load: async () => (await import("./data_convert.ts")).dataConvert,
  },
  {
    name: "data show",
    group: "Data",
    about: "Shows rows as the model sees them, and what is trained",
    load: async () => (await import("./data_show.ts")).dataShow,
  },
  {
    name: "data split",
    group: "Data",
    about: "Splits rows into training and validation rows",
    load: async () => (await import("./data_split.ts")).dataSplit,
  },
  {
    name: "data from-phoenix",
    group: "Data",
    about: "Makes rows of what people approved and rejected in Arize Phoenix",
    load: async () => (await import("./data_from_phoenix.ts")).dataFromPhoenix,
  },
  {
    name: "data select",
    group: "Data",
    about: "Says which training suits what there is, and whether that is enough",
    load: async () => (await import("./data_select.ts")).dataSelect,
  },
  {
    name: "data review",
    group: "Data",
    about: "Lets a person approve, edit or reject rows that no person wrote",
    load: async () => (await import("./data_review.ts")).dataReview,
  },
  {
    name: "data plan",
    group: "Data",
    about: "Says how many rows a command line needs, and what they cost",
    load: async () => (await import("./data_plan.ts")).dataPlan,
  },
  {
    name: "train sft",
    group: "Train",
    about: "Teaches a model from rows of prompts and answers",
    load: async () => (await import("./train_sft.ts")).trainSft,
  },
  {
    name: "train dpo",
    group: "Train",
    about: "Teaches a model which of two answers is the better one",
    load: async () => (await import("./train_dpo.ts")).trainDpo,
  },
  {
    name: "train orpo",
    group: "Train",
    about: "Teaches a model answers and to prefer them to others, in one training",
    load: async () => (await import("./train_orpo.ts")).trainOrpo,
  },
  {
    name: "train simpo",
    group: "Train",
    about: "Teaches a model to prefer answers, without a reference",
    load: async () => (await import("./train_simpo.ts")).trainSimpo,
  },
  {
    name: "train kto",
    group: "Train",
    about: "Teaches a model which answers are wanted, one by one",
    load: async () => (await import("./train_kto.ts")).trainKto,
  },
  {
    name: "train embed",
    group: "Train",
    about: "Teaches a model which texts belong together, from triplets or pairs",
    load: async () => (await import("./train_embed.ts")).trainEmbed,
  },
  {
    name: "train auto",
    group: "Train",
    about: "Chooses the training that suits telemetry or files, and does it",
    load: async () => (await import("./train_auto.ts")).trainAuto,
  },
  {
    name: "plan",
    group: "Train",
    about: "Says what a training run needs, without touching a GPU",
    load: async () => (await import("./plan.ts")).plan,
  },
  {
    name: "pipeline",
    group: "Train",
    about: "From a schema to a measured GGUF: rows, SFT, preferences, DPO, GGUF, evaluation",
    load: async () => (await import("./pipeline.ts")).pipeline,
  },
  {
    name: "pipeline ls",
    group: "Train",
    about: "Lists schemas and which stages of their trainings are done",
    load: async () => (await import("./pipeline_ls.ts")).pipelineLs,
  },
  {
    name: "sweep",
    group: "Train",
    about: "Trains once for each of many settings, and compares",
    load: async () => (await import("./sweep.ts")).sweep,
  },
  {
    name: "sweep dpo",
    group: "Train",
    about: "The same for training on preferences",
    load: async () => (await import("./sweep.ts")).sweepDpo,
  },
  {
    name: "report",
    group: "Train",
    about: "Makes a run's report again and says what its curves show",
    load: async () => (await import("./report.ts")).report,
  },
  {
    name: "runs ls",
    group: "Runs",
    about: "Lists runs and how they stand",
    load: async () => (await import("./runs_ls.ts")).runsLs,
  },
  {
    name: "runs show",
    group: "Runs",
    about: "Shows all that is known of a run",
    load: async () => (await import("./runs_show.ts")).runsShow,
  },
  {
    name: "runs watch",
    group: "Runs",
    about: "Follows a run that another process trains",
    load: async () => (await import("./runs_watch.ts")).runsWatch,
  },
  {
    name: "runs compare",
    group: "Runs",
    about: "Shows what differs between runs, and their measures side by side",
    load: async () => (await import("./runs_compare.ts")).runsCompare,
  },
  {
    name: "runs tag",
    group: "Runs",
    about: "Gives a run a name or a version",
    load: async () => (await import("./runs_tag.ts")).runsTag,
  },
  {
    name: "runs rm",
    group: "Runs",
    about: "Removes runs",
    load: async () => (await import("./runs_rm.ts")).runsRm,
  },
  {
    name: "eval",
    group: "Use and measure",
    about: "Measures answers against those of test rows",
    load: async () => (await import("./eval.ts")).evaluate,
  },
  {
    name: "eval ab",
    group: "Use and measure",
    about: "Compares two models on the same rows, and says what the difference is worth",
    load: async () => (await import("./eval_ab.ts")).evalAb,
  },
  {
    name: "export",
    group: "Ship",
    about: "Writes GGUF, a merged model, or the adapter alone",
    load: async () => (await import("./export.ts")).exportCommand,
  },
  {
    name: "push",
    group: "Ship",
    about: "Uploads a run or an exported model to the Hugging Face Hub",
    load: async () => (await import("./push.ts")).push,
  },
  {
    name: "imatrix",
    group: "Ship",
    about: "Measures which inputs of a model matter, for better rounding",
    load: async () => (await import("./imatrix.ts")).imatrix,
  },
  {
    name: "infer",
    group: "Use and measure",
    about: "Answers prompts",
    load: async () => (await import("./infer.ts")).infer,
  },
  {
    name: "chat",
    group: "Use and measure",
    about: "Talks with a model, and with its base beside it",
    load: async () => (await import("./chat.ts")).chat,
  },
  {
    name: "serve",
    group: "Use and measure",
    about: "Answers programs and a chat page, by OpenAI's API",
    load: async () => (await import("./serve.ts")).serve,
  },
  {
    name: "score",
    group: "Use and measure",
    about: "Gives the log-probability of every token of given texts",
    load: async () => (await import("./score.ts")).score,
  },
  {
    name: "embed",
    group: "Use and measure",
    about: "Turns texts into vectors that are close where meanings are",
    load: async () => (await import("./embed.ts")).embedCommand,
  },
  {
    name: "bench",
    group: "This machine",
    about: "Measures kernels, training or generation on this machine's GPU",
    load: async () => (await import("./bench.ts")).bench,
  },
  {
    name: "tokenize",
    group: "Use and measure",
    about: "Turns text into token ids, and back",
    load: async () => (await import("./tokenize.ts")).tokenize,
  },
  {
    name: "model show",
    group: "Models",
    about: "Says what a model folder holds",
    load: async () => (await import("./model_show.ts")).modelShow,
  },
  {
    name: "model quantize",
    group: "Models",
    about: "Writes a copy in 4 or 8 bits, which later starts read in a quarter of the time",
    load: async () => (await import("./model_quantize.ts")).modelQuantize,
  },
  {
    name: "data generate",
    group: "Data",
    about: "Writes training rows from a schema, by templates, a model or by hand",
    load: async () => (await import("./data_generate.ts")).dataGenerate,
  },
  {
    name: "data preferences",
    group: "Data",
    about: "Sets a model's answers against better ones, as pairs for train dpo",
    load: async () => (await import("./data_preferences.ts")).dataPreferences,
  },
  {
    name: "data reasoning",
    group: "Data",
    about: "Adds to rows why their answers follow, and judges such reasoning",
    load: async () => (await import("./data_reasoning.ts")).dataReasoning,
  },
  {
    name: "data adversarial",
    group: "Data",
    about: "Writes requests that show whether a model understands, and what a good answer does",
    load: async () => (await import("./data_adversarial.ts")).dataAdversarial,
  },
  {
    name: "config show",
    group: "Settings",
    about: "Shows every setting, its value and where it comes from",
    load: async () => (await import("./config_show.ts")).configShow,
  },
  {
    name: "config explain",
    group: "Settings",
    about: "Explains one setting",
    load: async () => (await import("./config_explain.ts")).configExplain,
  },
  {
    name: "config schema",
    group: "Settings",
    about: "Prints the JSON Schema of whet.yaml",
    load: async () => (await import("./config_schema.ts")).configSchema,
  },
  {
    name: "explain",
    group: "Settings",
    about: "Explains an error code or an exit code",
    load: async () => (await import("./explain.ts")).explainCode,
  },
  {
    name: "completions",
    group: "Settings",
    about: "Prints completions for a shell",
    load: async () => (await import("./completions.ts")).completions,
  },
];

/** Other names: the words that the first word stands for. */
export const aliases: Readonly<Record<string, readonly string[]>> = {
  generate: ["infer"],
  fuse: ["export", "--merge"],
  merge: ["export", "--merge"],
  quantize: ["export", "--gguf"],
};

/** Commands that the contract names and this version refuses, each with what serves instead. */
export const later: Readonly<Record<string, string>> = {
  "model pull": "name a folder with -m; whet does not download",
  "model ls": "models are folders: whet model show -m DIR explains one",
  "model verify": "whet model show -m DIR checks a folder's structure",
  "model rm": "models are folders like others",
  "data push": "rows are JSONL files: send them with the tools of the service",
  remote: "this version trains on this machine only",
};
