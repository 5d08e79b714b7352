import { humanBytes, parseBytes } from "../../base/text.ts";
import { type Available, availableMemory, budgetOf, SHARE } from "../../gpu/available.ts";

/** The memory that a run is planned for. */
export interface Room {
  /** Device bytes that the run may take. */
  readonly bytes: number;
  /** What that is, for people: "--target-mem 16GB", "85 % of …". */
  readonly what: string;
  /** What this machine has; planning for another one, it does not matter. */
  readonly found: Available;
}

/** The memory that the settings name, or the share of what this machine has free. Opens no device. */
export function roomOf({ target_mem, device }: { target_mem?: string; device?: string }): Room {
  const found = availableMemory(device);
  if (target_mem !== undefined) {
    return { bytes: parseBytes(target_mem)!, what: `--target-mem ${target_mem}`, found };
  }
  return { bytes: budgetOf(found), what: `${Math.round(100 * SHARE)} % of ${told(found)}`, found };
}

/** "20.1 GiB free (nvidia-smi: NVIDIA RTX A2000)". */
export const told = ({ free, source }: Available) => `${humanBytes(free)} free, says ${source}`;
