/** What a model folder says of where it comes from. */
import { closeSync, openSync, readSync } from "node:fs";
import { join, resolve } from "node:path";

/** The Hub's name of a model in its cache, "org/name"; undefined of a folder that is anywhere else. */
export function hubIdOf(path: string): string | undefined {
  const found = /[\\/]models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]/.exec(`${resolve(path)}/`);
  return found ? `${found[1]}/${found[2]}` : undefined;
}

const HEADER = 64 * 2 ** 10;

/** The licence that the header of a model card names, "apache-2.0"; undefined where it names none. */
export function licenceOf(dir: string): string | undefined {
  let text: string;
  try {
    const fd = openSync(join(dir, "README.md"), "r");
    try {
      const bytes = new Uint8Array(HEADER);
      text = new TextDecoder().decode(bytes.subarray(0, readSync(fd, bytes, 0, HEADER, 0)));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined; // no card, no licence named
  }
  const header = /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1] ?? "";
  const field = (name: string) =>
    new RegExp(`^${name}:[ \\t]*["']?([\\w.+-]+)["']?[ \\t]*$`, "m").exec(header)?.[1];
  const licence = field("license");
  return licence === "other" ? field("license_name") ?? licence : licence;
}
