import { existsSync, realpathSync } from "node:fs";
import { writeFile } from "../../base/durable.ts";
import { Exit, Fail } from "../../base/fail.ts";
import { plural, thousands } from "../../base/text.ts";
import { jsonValues } from "../../data/json_values.ts";
import { anyRow, type Kind, kindOf } from "../../data/kinds.ts";
import { type BadRow, badRows, byteStream, EMPTY_DATASET } from "../../data/rows.ts";
import { splitGroups } from "../../data/split_groups.ts";
import { dataSplitSettings } from "../../settings/data.ts";
import { command } from "../command.ts";

export const dataSplit = command({
  examples: [
    "whet data split rows.jsonl",
    "whet data split rows.jsonl --val 0.2 --seed 7 -o train.jsonl --val-output val.jsonl",
    "whet data split rows.jsonl --tail            # the last tenth, not shuffled",
  ],
  details:
    "Nine rows in ten train, the others validate; which ones is drawn by the seed, so that it is the " +
    "same in every run, and both files keep the order of the rows. Equal rows are never on both " +
    "sides: with --tail a validation row that also stands before stays in training.",
  settings: dataSplitSettings,
  async run({ file, val, seed, tail, output, val_output }, io) {
    const name = file === "-" ? "stdin" : file;
    const beside = (part: string) => {
      if (file !== "-") return file.replace(/(\.jsonl?)?$/, `_${part}.jsonl`);
      return `${part}.jsonl`;
    };
    const trainPath = output ?? beside("train"), valPath = val_output ?? beside("val");
    const paths = [trainPath, valPath];
    const same = paths.find((path) =>
      existsSync(path) && existsSync(file) && realpathSync(path) === realpathSync(file)
    );
    if (same !== undefined || trainPath === valPath) {
      throw new Fail(`${same ?? trainPath} would be written over`, {
        why: same === undefined ? "both parts have the same name" : "it is the file that is read",
        fix: "name others: -o FILE --val-output FILE",
        exit: Exit.usage,
      });
    }
    const texts: string[] = [];
    const keys: string[] = [];
    const bad: BadRow[] = [];
    let kind: Kind | undefined;
    for await (const value of jsonValues(byteStream(file))) {
      kind ??= kindOf(value.value);
      const row = anyRow(value, texts.length + bad.length, kind);
      if ("problem" in row) bad.push({ line: value.line, reason: row.problem, text: value.text });
      else {
        keys.push(row.content);
        texts.push(value.text.includes("\n") ? JSON.stringify(value.value) : value.text);
      }
    }
    if (bad.length > 0) {
      const fix = file === "-" ? "correct the rows" : `whet data check ${file} --fix`;
      throw badRows(name, bad, bad.length + texts.length, fix);
    }
    if (texts.length < 2) {
      throw new Fail(texts.length === 0 ? EMPTY_DATASET : "one row cannot be split", {
        why: `${name} holds ${plural(texts.length, "row")}`,
        exit: Exit.data,
      });
    }
    const parts = splitGroups(keys, val, { seed, tail });
    if (parts.val.length === 0) {
      throw new Fail("no row is left to validate on", {
        why: `${plural(texts.length, "row")}, of which equal ones stay together`,
        fix: "a larger share: --val 0.5; or leave copies out: whet data check FILE --fix",
        exit: Exit.data,
      });
    }
    const write = (path: string, rows: readonly number[]) =>
      writeFile(path, rows.values().map((row) => texts[row]! + "\n"));
    await write(trainPath, parts.train);
    await write(valPath, parts.val);
    const { moved } = parts;
    io.result({
      train: parts.train.length,
      val: parts.val.length,
      moved,
      seed: tail ? null : seed,
      paths: { train: trainPath, val: valPath },
    });
    io.out(`Split: ${thousands(parts.train.length)} train, ${thousands(parts.val.length)} val`);
    if (moved > 0) {
      io.note(`${plural(moved, "row")} of the tail also stand before it, and stay in training`);
    }
    io.note(`${trainPath} ${valPath}`);
  },
});
