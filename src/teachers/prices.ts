/** US dollars for a million tokens. */
export interface Price {
  readonly input: number;
  readonly output: number;
}

/** When the list below was written down; prices change, and --price-in and --price-out are stronger. */
export const PRICES_OF = "November 2025";

/** By the beginning of a model's name, longest first. */
const PRICES: readonly (readonly [prefix: string, input: number, output: number])[] = [
  ["claude-opus-4-5", 5, 25],
  ["claude-opus-4", 15, 75],
  ["claude-sonnet-4", 3, 15],
  ["claude-haiku-4", 1, 5],
  ["gpt-5-mini", 0.25, 2],
  ["gpt-5-nano", 0.05, 0.4],
  ["gpt-5", 1.25, 10],
  ["gpt-4.1-mini", 0.4, 1.6],
  ["gpt-4.1-nano", 0.1, 0.4],
  ["gpt-4.1", 2, 8],
  ["gpt-4o-mini", 0.15, 0.6],
  ["gpt-4o", 2.5, 10],
];

/** The listed price of a model by its name, without a provider before it. */
export function priceOf(model: string): Price | undefined {
  const found = PRICES.find(([prefix]) => model.startsWith(prefix));
  return found && { input: found[1], output: found[2] };
}

export function costOf(tokens: { input: number; output: number }, price: Price): number {
  return (tokens.input * price.input + tokens.output * price.output) / 1e6;
}

/** Tokens of a text, from above: JSON and YAML have about 3.5 characters to a token in most vocabularies. */
export function tokensOf(text: string): number {
  return Math.ceil(new TextEncoder().encode(text).length / 3);
}
