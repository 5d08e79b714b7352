import type { PlanSettings } from "../../settings/plan.ts";
import type { Io } from "../io.ts";
import type { PreparedRun } from "./prepared.ts";

/** The run that a plan is for, laid out as training would. @throws Fail (usage) (data) */
export async function preparePlan(
  settings: Omit<PlanSettings, "model"> & { readonly model: string },
  io: Io,
): Promise<PreparedRun> {
  if (settings.objective === "embed") {
    const { prepareEmbedRun } = await import("./prepared_embed.ts");
    return await prepareEmbedRun(settings, io);
  }
  const { prepareRun } = await import("./prepared.ts");
  return await prepareRun(settings, io);
}
