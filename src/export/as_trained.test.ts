import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tinyModel } from "../../tests/tiny.ts";
import { openModel, type Quant } from "../architectures/model.ts";
import { asTrained } from "./as_trained.ts";
import { quantizeModel } from "./quantize_model.ts";

const dirs: string[] = [];
afterAll(() => dirs.forEach((dir) => rmSync(dir, { recursive: true })));

const kinds: Quant[] = [{ type: "nf4", double: false }, { type: "nf4", double: true }, {
  type: "int8",
}];

describe.each(["llama", "phi"] as const)("asTrained, %s", (family) => {
  test.each(kinds)("%j: the numbers of a copy that was quantised on disk", async (quant) => {
    const dir = await tinyModel(family), out = mkdtempSync(join(tmpdir(), "whet-as-"));
    dirs.push(dir, out);
    await quantizeModel({ model: dir, out, quant });
    const model = await openModel(dir), copy = await openModel(out);
    const seen = asTrained(model.folder, quant, model.architecture.linears);
    let changed = 0;
    for (const [name, { shape }] of model.folder.tensors) {
      expect(seen.readF32(name)).toEqual(copy.folder.readF32(name));
      const rows = shape[0]!, middle = Math.floor(rows / 3);
      expect(seen.readF32(name, middle, rows - 1)).toEqual(
        copy.folder.readF32(name, middle, rows - 1),
      );
      if (!Bun.deepEquals(seen.readF32(name), model.folder.readF32(name))) changed++;
      expect(seen.readBytes(name).length).toBe(model.folder.readBytes(name).length);
    }
    expect(changed).toBe(2 * (family === "llama" ? 7 : 6));
    model.folder.close();
    copy.folder.close();
  });
});
