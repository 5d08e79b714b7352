import { Exit, Fail } from "../base/fail.ts";
import { csvValues } from "./csv.ts";
import { jsonValues, type Value } from "./json_values.ts";
import { parquetValues } from "./parquet.ts";
import { byteStream } from "./rows.ts";

export type Container = "json" | "csv" | "tsv" | "parquet";

/**
 * The values of a file of rows, whatever holds them: CSV, TSV and Parquet by the name, all else is
 * JSONL or a JSON array. Standard input ("-") is CSV where its first character begins no JSON.
 * @throws Fail (exit 3) where it cannot be read
 */
export async function valuesOf(
  path: string,
): Promise<{ readonly container: Container; readonly values: AsyncIterable<Value> }> {
  const ending = /\.(csv|tsv|parquet)$/i.exec(path)?.[1]?.toLowerCase();
  if (ending === "parquet") return { container: "parquet", values: parquetValues(path) };
  if (ending === "csv") return { container: "csv", values: csvValues(byteStream(path)) };
  if (ending === "tsv") return { container: "tsv", values: csvValues(byteStream(path), "\t") };
  if (path !== "-") return { container: "json", values: jsonValues(byteStream(path)) };
  const stream = byteStream(path);
  const { value: first } = await stream.next();
  const all = async function* () {
    if (first) yield first;
    yield* stream;
  };
  const begins = new TextDecoder().decode(first?.subarray(0, 400) ?? new Uint8Array()).trimStart();
  if (begins.startsWith("PAR1")) {
    throw new Fail("Parquet cannot be read from stdin", {
      why: "what its parts are stands at the end of the file",
      fix: "name the file",
      exit: Exit.usage,
    });
  }
  // A header begins with a name, quoted or not, and has a comma on its line.
  return /^["\p{L}\p{N}_][^\n]*,/u.test(begins)
    ? { container: "csv", values: csvValues(all()) }
    : { container: "json", values: jsonValues(all()) };
}
