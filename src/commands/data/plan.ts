import { columns, plural, thousands } from "../../base/text.ts";
import { COMBINATIONS, ENOUGH, PHRASINGS, planData } from "../../data/plan.ts";
import { parseCliSchema } from "../../settings/cli_schema.ts";
import { dataPlanSettings } from "../../settings/data.ts";
import { command } from "../command.ts";
import { readText } from "../io.ts";

/** Letters of a token, roughly, and tokens of a teacher's instructions besides the schema. */
const LETTERS = 4;
const INSTRUCTIONS = 600;

export const dataPlan = command({
  examples: [
    "whet data plan schema.yaml",
    "whet data plan schema.yaml -n 5000 --price-in 5 --price-out 25",
  ],
  details:
    "Ten phrasings of five combinations of arguments and flags make 50 rows a subcommand; edge cases " +
    "and negatives come on top. Of all rows about 60 % come with context, 20 % without, and 20 % are " +
    "to be answered with a question. The cost is that of a teacher who reads the schema with every " +
    "call and writes the rows: an estimate, from the prices you give (dollars a million tokens).",
  settings: dataPlanSettings,
  run({ schema: path, rows, batch, price_in, price_out, row_tokens }, io) {
    const text = readText(path, "the schema");
    const plan = planData(parseCliSchema(text, path), batch, rows);
    const read = plan.calls * (Math.ceil(text.length / LETTERS) + INSTRUCTIONS);
    const wrote = Math.round(plan.rows * row_tokens);
    const priced = price_in !== undefined && price_out !== undefined;
    const cost = priced ? (read * price_in + wrote * price_out) / 1e6 : undefined;
    io.result({
      ...plan,
      tokens_in: read,
      tokens_out: wrote,
      ...(priced ? { cost_usd: cost } : {}),
    });
    io.out(
      columns([
        ["subcommands", thousands(plan.subcommands), ""],
        [
          "commands in plain words",
          thousands(plan.phrased),
          `${PHRASINGS} phrasings × ${COMBINATIONS} combinations × ${plan.subcommands}`,
        ],
        ["rows", thousands(plan.rows), "with edge cases and negatives"],
        ["  with context", thousands(plan.withContext), "60 %"],
        ["  without context", thousands(plan.withoutContext), "20 %"],
        [
          "  negative",
          thousands(plan.negative),
          `20 %, ${Math.round(plan.negative / 6)} a case of six`,
        ],
        ["  of them edge cases", thousands(plan.edge), ""],
        ["train and validate", thousands(plan.train), `and ${thousands(plan.val)}`],
        ["calls", thousands(plan.calls), `of ${plural(batch, "row")}`],
        ["tokens read", thousands(read), "schema and instructions, with every call"],
        ["tokens written", thousands(wrote), `${row_tokens} a row`],
        ...(cost === undefined
          ? []
          : [["cost", `$${cost.toFixed(2)}`, `at $${price_in} and $${price_out} a million`]]),
      ], [1]),
    );
    if (!priced) io.note("\nFor the cost: --price-in USD --price-out USD, a million tokens each.");
    if (plan.rows > ENOUGH) {
      io.note(`\nBeyond 3,000 to ${thousands(ENOUGH)} rows more of them teach little.`);
    }
    if (plan.rows < plan.phrased) {
      io.note(`\n${thousands(plan.rows)} rows are fewer than 50 a subcommand.`);
    }
    return Promise.resolve();
  },
});
