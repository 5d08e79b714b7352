import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { assetFolder } from "./assets.ts";
import { Exit, Fail } from "./fail.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where Hugging Face's libraries keep what they downloaded; the order is theirs. */
function hubCache(env: Environment): string {
  return env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE ||
    join(
      env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface"),
      "hub",
    );
}

const isHubName = (name: string) => /^[\w-][\w.-]*\/[\w.-]+$/.test(name);

/**
 * The folder (or GGUF file) of a model that is named: a path, a name such as
 * meta-llama/Llama-3.2-1B-Instruct of a model in the Hugging Face cache, or micro, which is built in.
 * @returns undefined where there is none
 */
export function modelNamed(name: string, env: Environment = process.env): string | undefined {
  if (existsSync(name)) return name;
  if (name === "micro") return assetFolder("models/micro");
  const repository = join(hubCache(env), `models--${name.replace("/", "--")}`);
  const main = join(repository, "refs", "main");
  if (!isHubName(name) || !existsSync(main)) return undefined;
  const folder = join(repository, "snapshots", readFileSync(main, "utf8").trim());
  return existsSync(join(folder, "config.json")) ? folder : undefined;
}

/** The same. @throws Fail (usage) where there is none, with how to get it */
export function findModel(name: string, env: Environment = process.env): string {
  const found = modelNamed(name, env);
  if (found !== undefined) return found;
  const hub = isHubName(name);
  throw new Fail(`the model ${name} is not on this machine`, {
    why: hub
      ? `there is neither a folder of that name nor a copy in ${
        hubCache(env)
      }; whet does not download`
      : "a folder, the name of a model in the Hugging Face cache, or micro was expected",
    fix: (hub ? `hf download ${name}` : `check the path: ls -l ${name}`) +
      "; or model=DIR for another one, model=micro for the one that is built in",
    exit: Exit.usage,
  });
}
