import { type Model, modelOf, openModel } from "../../architectures/model.ts";
import { openGgufModel } from "../../export/gguf_folder.ts";
import { isGguf } from "./texts.ts";

/**
 * Opens what -m names, a model folder or a GGUF file.
 * @param task which of its own adapters a folder that has some is read with
 * @throws Fail (data) where it is broken
 */
export const openBase = async (path: string, task?: string): Promise<Model> =>
  isGguf(path) ? modelOf(openGgufModel(path)) : await openModel(path, task);
