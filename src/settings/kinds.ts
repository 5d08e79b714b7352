import { dpoSettings } from "./dpo.ts";
import { trainEmbedSettings } from "./embed.ts";
import type { SettingsSchema } from "./field.ts";
import { ktoSettings } from "./kto.ts";
import { orpoSettings } from "./orpo.ts";
import { simpoSettings } from "./simpo.ts";
import { trainSettings } from "./train.ts";

const kinds: Readonly<Record<string, SettingsSchema>> = {
  sft: trainSettings,
  dpo: dpoSettings,
  orpo: orpoSettings,
  simpo: simpoSettings,
  kto: ktoSettings,
  embed: trainEmbedSettings,
};

/** The settings of `whet train KIND`; those of sft for a kind that this version does not know. */
export const settingsOf = (kind: string): SettingsSchema => kinds[kind] ?? trainSettings;
