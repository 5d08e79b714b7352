import { z } from "zod";
import { commonSettings } from "./common.ts";
import { dataCheckSettings, dataConvertSettings, dataShowSettings } from "./data.ts";
import { type Field, fieldsOf, objectOf, type SettingsSchema } from "./field.ts";
import { dpoSettings } from "./dpo.ts";
import { trainEmbedSettings } from "./embed.ts";
import { ktoSettings } from "./kto.ts";
import { orpoSettings } from "./orpo.ts";
import { serveSettings } from "./serve.ts";
import { simpoSettings } from "./simpo.ts";
import { pipelineSettings } from "./pipeline.ts";
import { trainSettings } from "./train.ts";
import { trainAutoSettings } from "./train_auto.ts";
import { abSettings, evalSettings } from "./eval.ts";
import {
  chatSettings,
  embedSettings,
  exportSettings,
  inferSettings,
  scoreSettings,
  tokenizeSettings,
} from "./use.ts";

/** The sections of a config file; "" holds the settings of every command. */
export const sectionSchemas: Readonly<Record<string, SettingsSchema>> = {
  "": commonSettings,
  train: trainSettings,
  dpo: dpoSettings,
  orpo: orpoSettings,
  simpo: simpoSettings,
  kto: ktoSettings,
  train_embed: trainEmbedSettings,
  train_auto: trainAutoSettings,
  infer: inferSettings,
  chat: chatSettings,
  serve: serveSettings,
  eval: evalSettings,
  eval_ab: abSettings,
  score: scoreSettings,
  embed: embedSettings,
  tokenize: tokenizeSettings,
  export: exportSettings,
  data_check: dataCheckSettings,
  data_convert: dataConvertSettings,
  data_show: dataShowSettings,
  pipeline: pipelineSettings,
};

const ofFile = (f: Field) => !f.info.flagOnly;

/** The settings that each section of a config file may hold. */
export function sections(): Record<string, readonly Field[]> {
  return Object.fromEntries(
    Object.entries(sectionSchemas).map(([name, schema]) => [name, fieldsOf(schema).filter(ofFile)]),
  );
}

/** JSON Schema (2020-12) of whet.yaml, for editors that complete and check by it. */
export function configJsonSchema(): Record<string, unknown> {
  const properties = (schema: SettingsSchema): Record<string, unknown> => {
    const whole = z.toJSONSchema(objectOf(schema), { io: "input" });
    const known = new Set(fieldsOf(schema).filter(ofFile).map((f) => f.key));
    return Object.fromEntries(
      Object.entries(whole.properties ?? {}).filter(([key]) => known.has(key)),
    );
  };
  const everywhere = properties(commonSettings);
  const named = Object.entries(sectionSchemas).filter(([name]) => name !== "");
  const top: Record<string, unknown> = {};
  for (const [, schema] of [...named].reverse()) Object.assign(top, properties(schema));
  for (const [name, schema] of named) {
    top[name] = {
      type: "object",
      description: `settings of whet ${name}`,
      properties: { ...properties(schema), ...everywhere },
      additionalProperties: false,
    };
  }
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "whet.yaml",
    type: "object",
    properties: { $schema: { type: "string" }, ...everywhere, ...top },
    additionalProperties: false,
  };
}
