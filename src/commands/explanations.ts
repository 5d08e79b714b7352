import { Exit, type ExitCode } from "../base/fail.ts";

export interface Explanation {
  readonly title: string;
  readonly text: string;
}

/** What each exit code means; WH<code>00 is the explanation of every error without its own. */
export const exits: Readonly<Record<ExitCode, Explanation>> = {
  [Exit.ok]: { title: "finished", text: "The command did what it was asked." },
  [Exit.internal]: {
    title: "a bug in whet",
    text:
      "Something happened that whet did not foresee. Run the command again with --debug and report the stack trace with the command line. Checkpoints already written are whole.",
  },
  [Exit.usage]: {
    title: "usage or configuration",
    text:
      "A flag, a key of a config file or a combination of settings is not right. Nothing was written. whet COMMAND --help lists the flags, whet config show the settings in force and where each comes from.",
  },
  [Exit.data]: {
    title: "data invalid or insufficient",
    text:
      "A row, a model folder, an adapter or another input does not hold what it must. The message names file and line. Nothing was trained on the input.",
  },
  [Exit.gpu]: {
    title: "no usable GPU or feature",
    text:
      "No graphics adapter that WebGPU can use was found, it lacks something needed, or it was lost while running. whet doctor says what is there and what to install. --device software computes on the processor, which suits only small models.",
  },
  [Exit.memory]: {
    title: "out of memory",
    text:
      "The plan needs more than the GPU can give. whet plan with the same flags shows what takes how much. Smaller: --max-seq, --batch with a larger --accum, --rank; --grad-checkpoint on.",
  },
  [Exit.diverged]: {
    title: "training diverged",
    text:
      "The loss or a gradient became NaN or infinite. The step was not applied and the last checkpoint is good. A lower --lr, a longer --warmup and --max-grad-norm 1 are the usual remedies; a row with very unusual text is the usual cause.",
  },
  [Exit.network]: {
    title: "network needed or failed",
    text: "Something had to be fetched and could not be. Training itself never needs a network.",
  },
  [Exit.authorisation]: {
    title: "not authorised",
    text: "A service refused the key, or none was given. Keys are read from the environment only.",
  },
  [Exit.gate]: {
    title: "a gate was not passed",
    text:
      "A measurement is below the limit that was set with --fail-under, or an export does not agree with its source. What was measured is in the output.",
  },
  [Exit.approval]: {
    title: "waiting for approval",
    text: "Rows wait for a person's review before they may be trained.",
  },
  [Exit.remote]: { title: "remote job failed", text: "The job on another machine did not finish." },
  [Exit.disk]: {
    title: "disk or file failure",
    text:
      "A file could not be written: the disk is full, the folder is read-only, another run holds it, or the disk failed. Files that matter are written whole or not at all, so what was there before is still good.",
  },
};

/** Errors that have more to say than their exit code. */
export const explanations: Readonly<Record<string, Explanation>> = {
  WH0201: {
    title: "a setting has a value it cannot have",
    text:
      "The message names the place: a flag, an environment variable (WHET_LR) or file:line:column of a config file. Places in order of strength: flag, --set, WHET_*, --config file, whet.yaml in this folder, built-in.",
  },
  WH0202: {
    title: "a config file that cannot be read",
    text:
      "Config files are YAML or JSON: keys for every command at the top, and sections named like a command (train:, infer:, eval:) for that command alone. whet config schema prints the JSON Schema.",
  },
  WH0203: {
    title: "an unknown key in a config file",
    text:
      "Keys are never ignored, because a misspelt setting would silently train with the default. whet config schema lists every key.",
  },
  WH0204: { title: "--set without key=value", text: "Example: --set train.lr=2e-4." },
  WH0205: {
    title: "two settings that exclude each other",
    text:
      "--epochs and --iters both set the length, --accum and --effective-batch both set the rows in a step. Given in different places, the stronger place wins; given in the same place, one must go.",
  },
  WH0206: {
    title: "not built yet",
    text:
      "The command line of whet is fixed ahead of what it can do, so that scripts need not change. What is not there yet is refused, never ignored.",
  },
  WH0207: {
    title: "a setting is missing",
    text: "Give it as a flag, as WHET_NAME in the environment, or in whet.yaml.",
  },
  WH0208: { title: "a file named by a setting cannot be read", text: "Check the path and rights." },
  WH0209: {
    title: "an unknown command",
    text: "whet --help lists all commands.",
  },
  WH0210: {
    title: "an argument too many",
    text:
      "A value with spaces must be quoted; a flag's value that begins with a dash is written --flag=-value.",
  },
  WH0211: {
    title: "an unknown flag",
    text:
      "Flags may be written with dashes or underscores, and common spellings of other tools are understood (--learning-rate, --lora-r, --per-device-train-batch-size).",
  },
  WH0212: { title: "a flag without its value", text: "--lr 2e-4 or --lr=2e-4." },
  WH0213: {
    title: "an unknown error code",
    text: "Codes look like WH0203; exit codes are numbers from 0 to 12.",
  },
  WH0214: {
    title: "a dry run of something that has none",
    text: "--dry-run is understood by whet train; whet plan is the same.",
  },
  WH0215: {
    title: "resumed with changed settings",
    text:
      "The run's second part was trained with other settings than its first, as --allow-change allows.",
  },
  WH0216: {
    title: "a tracker that cannot be used as it is set",
    text:
      "--report-to takes none, jsonl, tensorboard, mlflow and wandb. tensorboard writes event files and wandb an offline run (for wandb sync) into the run folder; mlflow sends to a server named by --mlflow-uri or MLFLOW_TRACKING_URI. Keys are read from the environment only.",
  },
  WH0217: {
    title: "a run is not repeated to the byte",
    text:
      "whet train --config run.json gives the same weights with the same model, rows, program, adapter and driver. The message says what is another one.",
  },
  WH0218: {
    title: "resumed with other kernels",
    text:
      "Which kernels are the fastest is measured on each device and kept with the run, so that a resumed run gives the same bytes. This device does not have some of them: others compute the same numbers, which may differ in their last bits.",
  },
  WH0219: {
    title: "no adapter could be made",
    text:
      "--target names no layer of this model. --on-lora-failure full trains all weights instead, where that fits in memory; the result is then a whole model and no adapter. Without it the run stops with the names that exist.",
  },
  WH0220: {
    title: "a stage of a pipeline is out of date",
    text:
      "What it was made from has changed since: rows, weights or settings, as the warning says. It is " +
      "kept, because to make it again may cost days or money: --from STAGE --force does so.",
  },
  WH0301: { title: "input that cannot be read", text: "The file is missing or is not a file." },
  WH0302: {
    title: "text that is not UTF-8",
    text: "The message names the line. iconv converts other encodings.",
  },
  WH0303: {
    title: "a line that never ends",
    text: "Rows are one JSON object a line (JSONL). jq -c '.[]' makes rows of a JSON array.",
  },
  WH0304: {
    title: "rows that do not fit the command",
    text:
      "The message lists up to 20 of them with their line numbers. No row was computed, so that no result is half there.",
  },
  WH0305: {
    title: "rows were passed over",
    text:
      "--skip-bad leaves out rows that cannot be used, as long as they are no more than one in a hundred.",
  },
  WH0306: {
    title: "rows are longer than --max-seq",
    text:
      "--overlong drop leaves them out, truncate cuts their end: an answer whose end is cut teaches the model not to stop. A larger --max-seq costs memory.",
  },
  WH0307: {
    title: "validation rows that are trained",
    text:
      "They make the validation loss look better than the model is. Take them out of one of the files.",
  },
  WH0308: {
    title: "an export was not done quite as asked",
    text: "The message says what was done instead. The file is whole and can be used.",
  },
  WH0309: {
    title: "the base is not kept as in training",
    text:
      "An adapter learns to correct the base it was trained on, rounding included. Give the same --quant and --double-quant as its run.",
  },
  WH0401: {
    title: "a kernel takes long in one dispatch",
    text:
      "While a GPU computes one dispatch it draws nothing, and drivers reset a device that is silent for seconds. Submits are cut so that none takes longer than 250 ms, but a dispatch cannot be cut: fewer tokens at once make it shorter. Results are not affected.",
  },
  WH0501: {
    title: "the device had less memory than it was planned for",
    text:
      "Another program holds memory, or the driver grants less than the system told. The run goes on with micro-batches half as large: a step sees the same rows and means the same, but sums are added in another order than with larger ones. run.json records what was used, and --micro-tokens begins with it at once.",
  },
  WH0331: {
    title: "a schema that refuses the rows' own answers",
    text:
      "The schema given with --schema finds something wrong with answers that the rows expect. No model can answer such a row right and fit the schema: correct the row or the schema, for what is trained on such rows learns the defect.",
  },
  WH0332: {
    title: "a sign of pattern-matching",
    text:
      "Answers look like a pattern that is repeated rather than like understanding: a confidence that never changes, assumptions or reasoning that are the same for different questions, wrong answers that claim to be sure. More varied rows, rows that cannot be answered, and confidences that differ for a reason are the usual remedies.",
  },
  WH0322: {
    title: "several system prompts",
    text:
      "A model learns its task under the system prompt of its rows, and is at its best under that one prompt. Keep it in one file and give it with --system, when rows are made and when the model is used.",
  },
  WH0323: {
    title: "asked under another prompt than trained",
    text:
      "The adapter's prompt.json holds hashes of the system prompt, the chat template and the stop tokens that its rows had. With others, answers are often worse for no visible reason. --strict-prompt refuses instead of warning.",
  },
  WH0310: {
    title: "few validation rows",
    text:
      "Below about 30 rows, measurements differ mostly by chance: early stopping and the best checkpoint are then a lottery. More --val rows, or a larger --val-split.",
  },
  WH0311: {
    title: "a pair with the same answer twice",
    text:
      "A preference between an answer and itself says nothing about which answer is better; training on it only adds noise. The pair is left out, the others stay.",
  },
  WH0312: {
    title: "more spans than were read",
    text: "A project may hold millions. --max-spans reads more of them, --since fewer.",
  },
  WH0313: {
    title: "an annotation that says both",
    text:
      "The same annotation is there twice, once approving and once rejecting. Which of the two is meant is not known, so that it counts for nothing.",
  },
  WH0314: {
    title: "rows of which there are few",
    text:
      "Fewer rows than the usual minimums: 50 approved examples, 20 pairs (40 annotations and more), 100 triplets. They are written all the same.",
  },
  WH0315: {
    title: "low accuracy",
    text:
      "On rows that were not trained, the model is hardly better than chance. Insufficient data: more examples or better quality are needed.",
  },
  WH0316: {
    title: "over-fitting",
    text:
      "The validation loss rose while training went on: too many epochs. The best weights are kept; fewer epochs cost less.",
  },
  WH0324: {
    title: "marks of another model",
    text:
      "A text such as </s> ends an answer only where the model has a token for it. For others it is three or four pieces of plain text, which are trained like any word. The model's own end token is added to every answer, so that such marks are not needed.",
  },
  WH0317: {
    title: "an importance matrix of few tokens",
    text:
      "An importance matrix says how large each input of each layer is on average. From fewer than about two thousand tokens that is much chance. Some hundred rows like those the model will see are enough.",
  },
  WH0601: {
    title: "a step was not applied",
    text:
      "Its loss or gradient was not a finite number, so the weights were left as they were. After three such steps in a row the run ends with exit code 6.",
  },
  WH0602: {
    title: "a run of a sweep diverged",
    text: "Its settings are no good: it stays in the comparison as failed, and the sweep goes on.",
  },
  WH0603: {
    title: "runs compared without validation rows",
    text:
      "The training loss is lowest where a model learns its rows by heart. Give --val to compare what was learnt.",
  },
  WH0604: {
    title: "over-fitting",
    text:
      "The rows are learnt by heart: the training loss falls, the validation loss rises. The best weights so far are kept. Fewer --epochs, more varied rows, or --patience.",
  },
  WH0605: {
    title: "the loss rises",
    text:
      "The run is leaving what it had learnt, mostly because --lr is too high. The last checkpoints are kept.",
  },
  WH0606: {
    title: "activations that f16 cannot hold",
    text:
      "With --compute f16 a number beyond ±65504 is stored as ±65504, so that it stays finite. Sums, softmax, norms and the residual stream are f32 and cannot overflow. A few such numbers do little harm; with many of them train with --compute f32.",
  },
  WH0701: {
    title: "metrics do not reach a tracker",
    text:
      "Training goes on and loses nothing: metrics.jsonl in the run folder has every step. The tracker is asked again in the background, and what it did not take in the end is counted.",
  },
  WH1201: {
    title: "lines lost from the log file",
    text: "The disk was full or failing while the command ran. Its result is not affected.",
  },
  WH1203: {
    title: "a checkpoint of another version of whet",
    text:
      "It is whole, but what it holds is laid out otherwise. Passing over it would lose steps, so nothing was done. run.json names the version that wrote it.",
  },
  WH1202: {
    title: "a damaged checkpoint was passed over",
    text: "It does not match its own checksums. The newest whole one is used.",
  },
};

/** The explanation of "WH0203", "0203" or an exit code "3". */
export function explain(code: string): Explanation | undefined {
  const name = code.toUpperCase().replace(/^WH/, "");
  if (/^\d{1,2}$/.test(name)) return exits[Number(name) as ExitCode];
  const own = explanations[`WH${name}`];
  if (own || !/^\d{4}$/.test(name)) return own;
  return name.endsWith("00") ? exits[Number(name.slice(0, 2)) as ExitCode] : undefined;
}
