/** What `--loss-on` says: which tokens of a row count in the loss, and how much. */
export type LossOn = "response" | "all" | ReadonlyMap<string, number>;

const SECTION = /^([A-Za-z_][\w.-]*)=(\d+\.?\d*|\.\d+)$/;

/**
 * Reads "response", "all" or "section:NAME=W,NAME=W".
 * @returns undefined for any other text, and for a section that is named twice
 */
export function lossOnOf(text: string): LossOn | undefined {
  if (text === "response" || text === "all") return text;
  if (!text.startsWith("section:")) return undefined;
  const weights = new Map<string, number>();
  for (const part of text.slice("section:".length).split(",")) {
    const [, name, weight] = SECTION.exec(part.trim()) ?? [];
    if (name === undefined || weights.has(name) || Number(weight) > 1000) return undefined;
    weights.set(name, Number(weight));
  }
  return weights;
}
