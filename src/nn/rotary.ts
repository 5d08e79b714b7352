import { type RopeOptions, type RopeTables, ropeTables } from "../../kernels/rope/tables.ts";

const made = new Map<string, RopeTables>();

/** The rotary tables for these options: the same object for the same options, so that the device holds one. */
export function rotaryTables(options: RopeOptions): RopeTables {
  const key = JSON.stringify(options), tables = made.get(key) ?? ropeTables(options);
  made.set(key, tables);
  return tables;
}
