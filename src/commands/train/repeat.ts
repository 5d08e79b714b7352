import { readFileSync } from "node:fs";
import { excerpt } from "../../base/text.ts";
import type { Tuned } from "../../gpu/device.ts";
import type { Manifest } from "../../report/record.ts";
import { asRecorded, counted, OWN } from "../../settings/recorded.ts";
import type { Io } from "../io.ts";

/** Settings that a repetition may have of its own without being another run. */
const FREE = new Set([...OWN, "report_to", "mlflow_uri", "experiment", "log_every", "cache_dir"]);

/**
 * Where --config names the run.json of a run to be repeated, says beforehand what keeps this one from
 * coming to the same bytes.
 * @returns what is to be told the SHA-256 of the weights in the end; undefined where nothing is repeated
 */
export function repetition(
  config: string | undefined,
  now: Manifest,
  io: Io,
): ((sha256: string) => void) | undefined {
  const text = config === undefined ? "" : readFileSync(config, "utf8");
  if (!asRecorded(text, config!)) return undefined;
  const before = JSON.parse(text) as Manifest;
  const changed = settingsChanged(before, now);
  if (changed.length > 0) {
    io.note(`settings of ${before.name}, with another ${excerpt(changed.join(", "), 200)}`);
    return undefined;
  }
  const other = SIDES.filter(([, of]) => of(before) !== of(now)).map(([what]) => what);
  if (other.length > 0) {
    io.warn(
      "WH0217",
      `${other.join(", ")} ${other.length > 1 ? "are" : "is"} not as when ${before.name} was ` +
        "recorded: its bytes are not to be expected again",
    );
  }
  const { adapter } = before;
  return adapter && ((sha256) => {
    if (sha256 === adapter.sha256) io.note(`the same bytes as ${adapter.path}: sha256 ${sha256}`);
    else {
      const message = `other bytes than ${adapter.path}: sha256 ${sha256}, there ${adapter.sha256}`;
      io.warn("WH0217", message);
    }
  });
}

/** The kernels of the run that --config names to be repeated; undefined where it names none. */
export function recordedKernels(config: string | undefined): Tuned | undefined {
  const text = config === undefined ? "" : readFileSync(config, "utf8");
  return asRecorded(text, config!) ? (JSON.parse(text) as Manifest).kernels : undefined;
}

/** What a run's bytes follow from besides its settings. */
const SIDES: readonly (readonly [what: string, of: (manifest: Manifest) => unknown])[] = [
  ["the model", ({ model }) => model.sha256],
  ["the training rows", ({ data }) => data.sha256],
  ["their tokens", ({ data }) => data.tokens_sha256],
  ["the validation rows", ({ validation }) => validation?.sha256],
  ["whet", ({ whet }) => `${whet.version} ${whet.commit}`],
  ["the adapter", ({ device }) => device.adapter],
  ["the driver", ({ device }) => device.driver],
  ["the choice of kernels", ({ kernels }) => kernels && JSON.stringify(kernels)],
];

function settingsChanged(before: Manifest, now: Manifest): string[] {
  const [a, b] = [counted(before), counted(now)];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) =>
    !FREE.has(key) && JSON.stringify(a[key]) !== JSON.stringify(b[key])
  );
}
