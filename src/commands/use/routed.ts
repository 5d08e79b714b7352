import { short } from "../../base/text.ts";
import { confidenceOf } from "../../evaluate/calibration.ts";
import { parseAnswer } from "../../evaluate/metrics.ts";
import { type Action, actionOf, type Thresholds } from "../../evaluate/routing.ts";
import { parseSections } from "../../evaluate/sections.ts";

/**
 * What --sections and --thresholds add to an answer: its sections with `_valid`, and the action that its
 * confidence allows. Nothing where neither is given.
 */
export function routed(
  text: string,
  { sections, thresholds }: {
    readonly sections?: readonly string[];
    readonly thresholds?: Thresholds;
  },
): Readonly<Record<string, unknown>> & { readonly action?: Action; readonly confidence?: number } {
  const parsed = sections && parseSections(text, sections);
  if (!thresholds) return parsed ?? {};
  const answer = sections ? parsed![sections.at(-1)!] : parseAnswer(text)?.value;
  const confidence = confidenceOf(answer);
  return {
    ...parsed,
    ...(confidence === undefined ? {} : { confidence }),
    action: actionOf(answer, thresholds),
  };
}

/** The same in a line for people; "" where there is nothing to say. */
export function routedTold(
  { action, confidence, _valid, error }: ReturnType<typeof routed>,
): string {
  const said = [
    ...(_valid === false ? [`not valid: ${error}`] : []),
    ...(action === undefined ? [] : [
      `action: ${action}${confidence === undefined ? "" : `, confidence ${short(confidence)}`}`,
    ]),
  ];
  return said.join("; ");
}
