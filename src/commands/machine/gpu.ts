import { Exit, Fail } from "../../base/fail.ts";
import { short } from "../../base/text.ts";
import { Device } from "../../gpu/device.ts";
import { readTuned } from "../../gpu/tuned.ts";
import type { CommonSettings } from "../../settings/common.ts";
import type { Io } from "../io.ts";

/** The largest model that a software adapter takes without being asked, parameters. */
const SOFTWARE_LIMIT = 1e8;

/**
 * Opens the device that a command computes on. `auto` takes a GPU; where there is none, a software
 * adapter with a banner, but only for small models.
 * @throws Fail (gpu)
 */
export async function openDevice(
  settings: Pick<CommonSettings, "device" | "backend"> & { readonly compute?: "f32" | "f16" },
  parameters: number,
  io: Io,
): Promise<Device> {
  const { device: wanted, backend, compute } = settings;
  const device = await Device.open({ device: wanted, backend, compute });
  const { software, adapter } = device.capabilities;
  device.useTuned(readTuned(device.capabilities));
  if (software && wanted === "auto" && parameters >= SOFTWARE_LIMIT) {
    device.close();
    throw new Fail("no GPU was found, and this model is too large for the processor", {
      why: `it has ${short(parameters / 1e6)} million parameters; ${adapter} is a software adapter`,
      fix: "whet doctor says what is missing; --device software computes on the processor anyway",
      exit: Exit.gpu,
    });
  }
  if (software) io.note(io.paint("yellow", `No GPU: computing on the processor (${adapter}).`));
  else io.detail(`device: ${adapter}`);
  return device;
}
