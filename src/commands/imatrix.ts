import { basename } from "node:path";
import { requireHead } from "../architectures/architecture.ts";
import { Exit, Fail } from "../base/fail.ts";
import { plural, thousands } from "../base/text.ts";
import { imatrixSettings } from "../settings/use.ts";
import { command } from "./command.ts";

/** Fewer tokens than this say little of the inputs of a layer. */
const FEW = 2048;

export const imatrix = command({
  examples: [
    "whet imatrix -m ./model -a ./run -d rows.jsonl -o model.imatrix",
    "whet export ./run -o model-q4.gguf --gguf --quant q4_k_m --imatrix model.imatrix --verify",
  ],
  details:
    "Runs the model over rows like those it will see, and writes how large each input of each linear " +
    "layer is on average, as llama.cpp's imatrix tool does and in its GGUF form. Rounding then errs " +
    "where it costs least. -m may name a run: its base and adapter are meant.",
  settings: imatrixSettings,
  async run(settings, io) {
    const [
      { load, openBoth },
      { inputSums },
      { readRows },
      { textsOf },
      { baseAndAdapter },
      { ggufFamily },
      { ggufName },
      { writeImatrix },
      { requireNew },
    ] = await Promise.all([
      import("./loaded.ts"),
      import("../evaluate/inputs.ts"),
      import("./prepared.ts"),
      import("./texts.ts"),
      import("./adapted.ts"),
      import("../export/gguf_families.ts"),
      import("../export/gguf_family.ts"),
      import("../formats/imatrix.ts"),
      import("../export/place.ts"),
    ]);
    if (!settings.force) requireNew(settings.output);
    const named = await baseAndAdapter(settings);
    using opened = await openBoth({ ...settings, ...named });
    requireHead(opened.model);
    const family = ggufFamily(opened.model.folder.config); // what has no GGUF needs no matrix
    const texts = await textsOf(named.model, settings.template);
    const { vocab, context } = opened.model.sizes;
    const { rows } = await readRows(
      settings.data,
      {
        ...settings,
        max_seq: context,
        overlong: "truncate",
        json_indent: 0,
        skip_bad: false,
        batch: 1,
        accum: 1,
      },
      { vocab, context, ...texts },
      io,
    );
    const ids = rows.map(({ ids }) => ids),
      total = ids.reduce((sum, { length }) => sum + length, 0);
    if (total < FEW) {
      io.warn(
        "WH0317",
        `${thousands(total)} tokens say little of a model's inputs`,
        "give more rows",
      );
    }
    using loaded = await load(opened, settings, io);
    const { layers, runs, tokens } = await inputSums(loaded.model, loaded.memory, ids, {
      lora: loaded.adapted.lora,
      onRun: (done, of) => io.progress(`${done} of ${of} runs of the model`),
    });
    io.progress();
    const sums = new Map([...layers].map(([name, sum]) => [ggufName(family, name)!.gguf, sum]));
    const bad = [...sums].find(([, { squares }]) => squares.some((v) => !Number.isFinite(v)));
    if (bad) {
      throw new Fail(`the inputs of ${bad[0]} are not finite`, {
        why: "the model overflows on these rows, or is damaged",
        fix: "try it with whet infer",
        exit: Exit.data,
      });
    }
    const chunks = { chunks: runs, chunkSize: tokens, dataset: basename(settings.data) };
    const written = await writeImatrix(settings.output, sums, chunks);
    io.result({ path: settings.output, layers: sums.size, tokens: runs * tokens, ...written });
    io.out(
      `${settings.output}  ${plural(sums.size, "layer")}  ${thousands(runs * tokens)} tokens of ${
        plural(rows.length, "row")
      }`,
    );
    io.note(
      `\nNext: whet export ${
        named.adapter ?? named.model
      } -o model-q4.gguf --gguf --quant q4_k_m --imatrix ${settings.output} --verify`,
    );
  },
});
