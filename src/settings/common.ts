import { z } from "zod";
import { field, path } from "./field.ts";

/** Settings that every command has. */
export const commonSettings = z.strictObject({
  json: field(z.boolean().default(false), {
    group: "Everywhere",
    help: "results and events as one JSON object a line on stdout",
    flagOnly: true,
  }),
  quiet: field(z.boolean().default(false), {
    group: "Everywhere",
    short: "q",
    help: "only results, warnings and errors",
  }),
  verbose: field(z.boolean().default(false), {
    group: "Everywhere",
    short: "v",
    help: "say more about what is being done",
  }),
  debug: field(z.boolean().default(false), {
    group: "Everywhere",
    help: "stack traces with errors",
  }),
  color: field(z.boolean().default(true), {
    group: "Everywhere",
    help: "paint on a terminal",
    off: "no colours, as with NO_COLOR or TERM=dumb",
  }),
  config: field(path().optional(), {
    group: "Everywhere",
    short: "c",
    value: "FILE",
    help:
      "settings from a YAML or JSON file, or the run.json of a run to be repeated; whet.yaml in " +
      "this folder is read anyway, for a repetition not",
    flagOnly: true,
  }),
  set: field(z.array(z.string()).default([]), {
    group: "Everywhere",
    value: "KEY=V",
    help: "one setting by its key, for example train.lr=2e-4; may be repeated",
    many: true,
    flagOnly: true,
  }),
  device: field(z.string().min(1).default("auto"), {
    group: "Everywhere",
    value: "D",
    help: "the adapter: auto, software, its number in whet doctor, or part of its name",
  }),
  backend: field(z.enum(["local", "metal", "vulkan", "d3d12"]).optional(), {
    group: "Everywhere",
    value: "NAME",
    help: "the graphics interface below WebGPU: metal, vulkan or d3d12; local is what there is",
    otherwise: "what the system has",
    later: { remote: "this version trains on this machine only" },
  }),
  offline: field(z.boolean().default(false), {
    group: "Everywhere",
    help: "never open a network connection",
  }),
  cache_dir: field(path().optional(), {
    group: "Everywhere",
    value: "DIR",
    help: "where whet keeps what it can make again",
    otherwise: "whet in the system's cache folder",
  }),
  log_file: field(path().optional(), {
    group: "Everywhere",
    value: "FILE",
    help: "append every event as one JSON object a line, whatever the terminal shows",
  }),
  yes: field(z.boolean().default(false), {
    group: "Everywhere",
    short: "y",
    help: "answer yes to every question",
    flagOnly: true,
  }),
  dry_run: field(z.boolean().default(false), {
    group: "Everywhere",
    help: "say what would be done and write nothing",
    flagOnly: true,
  }),
});

export type CommonSettings = z.output<typeof commonSettings>;

/** Only those of all commands, out of the settings of one. */
export function commonOf(settings: CommonSettings): CommonSettings {
  const keys = Object.keys(commonSettings.shape) as (keyof CommonSettings)[];
  return Object.fromEntries(keys.map((key) => [key, settings[key]])) as CommonSettings;
}
