import type { Tokenizer } from "./tokenizer.ts";

/**
 * How much each token of an answer counts when `<name>…</name>` in it has a weight of its own: that of the
 * innermost section that the token has a character in, tags included, and 1 outside. A section that is not
 * closed goes on to the end of the text.
 * @param sections weight by name
 * @returns one weight a token; undefined where the answer has none of the sections
 */
export function sectionWeights(
  tokenizer: Tokenizer,
  ids: readonly number[],
  sections: ReadonlyMap<string, number>,
): number[] | undefined {
  // The text as the ids say it, so that the places of tokens in it are known.
  const stream = tokenizer.decoder();
  const ends: number[] = [];
  let text = "";
  for (const id of ids) ends.push((text += stream.push(id)).length);
  text += stream.flush();
  const found = findSections(text, sections);
  if (found.length === 0) return undefined;
  return ids.map((_, i) => {
    const from = i === 0 ? 0 : ends[i - 1]!;
    const to = Math.max(ends[i]!, from + 1); // a part of a character counts with the whole
    const inside = found.filter((s) => s.from < to && from < s.to);
    return inside.length === 0 ? 1 : sections.get(inside.at(-1)!.name)!;
  });
}

interface Found {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** Sections by where they begin, tags included: of nested ones the inner comes later. */
function findSections(text: string, sections: ReadonlyMap<string, number>): Found[] {
  const names = [...sections.keys()].map((name) => name.replaceAll(".", "\\."));
  const open: { name: string; from: number }[] = [], found: Found[] = [];
  for (const tag of text.matchAll(new RegExp(`<(/?)(${names.join("|")})>`, "g"))) {
    const [whole, slash, name] = tag as unknown as [string, string, string];
    if (slash === "") {
      open.push({ name, from: tag.index });
      continue;
    }
    const at = open.findLastIndex((section) => section.name === name);
    if (at < 0) continue; // a closing tag that nothing opened
    found.push({ ...open.splice(at, 1)[0]!, to: tag.index + whole.length });
  }
  for (const section of open) found.push({ ...section, to: text.length });
  return found.sort((a, b) => a.from - b.from);
}
