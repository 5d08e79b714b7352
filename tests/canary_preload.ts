/** Before all tests of a process: canaries in its environment, and a look at what they remove. */
import { mock } from "bun:test";
import standard, * as fs from "node:fs";
import * as promises from "node:fs/promises";
import { canaries, canaryFiles } from "./canary.ts";

for (const [name, value] of Object.entries(canaries)) process.env[name] = value;

// Folders of tests end with the tests, so what they hold is searched when they are removed.
function searched(path: fs.PathLike): void {
  const found = canaryFiles(String(path));
  if (found.length > 0) {
    throw new Error(`a secret of the environment stands in ${found.join(", ")}`);
  }
}
const { rmSync } = fs, { rm } = promises;
const removing = {
  rmSync(path: fs.PathLike, options?: fs.RmOptions) {
    searched(path);
    rmSync(path, options);
  },
};
const removingLater = {
  async rm(path: fs.PathLike, options?: fs.RmOptions) {
    searched(path);
    await rm(path, options);
  },
};
mock.module("node:fs", () => ({ ...fs, ...removing, default: { ...standard, ...removing } }));
mock.module("node:fs/promises", () => ({
  ...promises,
  ...removingLater,
  default: { ...promises, ...removingLater },
}));
