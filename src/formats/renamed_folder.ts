import type { ModelFolder } from "./model_folder.ts";

/** How a checkpoint's names become those that a program looks for. */
export interface Renaming {
  rename(name: string): string;
  /** Names, after renaming, that no program looks for: left out. */
  readonly unused: RegExp;
}

/** The same folder with its tensors under other names; where two become one, the first has it. */
export function renamed(folder: ModelFolder, { rename, unused }: Renaming): ModelFolder {
  const stored = new Map<string, string>();
  for (const name of folder.tensors.keys()) {
    const now = rename(name);
    if (!unused.test(now) && !stored.has(now)) stored.set(now, name);
  }
  const inFile = (name: string) => stored.get(name) ?? name;
  return {
    ...folder,
    tensors: new Map([...stored].map(([now, name]) => [now, folder.tensors.get(name)!])),
    readBytes: (name, ...rest) => folder.readBytes(inFile(name), ...rest),
    readF32: (name, ...rest) => folder.readF32(inFile(name), ...rest),
    resolve: (name) => stored.has(name) ? name : undefined,
    [Symbol.dispose]: () => folder.close(),
  };
}
