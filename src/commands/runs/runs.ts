import { field, path } from "../../settings/field.ts";

/** What the commands about runs have in common. */

export const rootField = () =>
  field(path().default("."), {
    group: "Main",
    value: "DIR",
    help: "where runs are looked for, four folders deep",
  });

export const runField = () =>
  field(path(), {
    value: "RUN",
    positional: 0,
    help: "a run folder, or the name or tag of a run below --root",
  });
