import type { Capabilities } from "../../src/gpu/device.ts";
import type { Shader, Source } from "../../src/gpu/link.ts";
import subgroup from "./sum_subgroup.wgsl" with { type: "text" };
import subgroups from "./sum_subgroups.wgsl" with { type: "text" };
import tree from "./sum_tree.wgsl" with { type: "text" };
import type { DType } from "../../src/graph/tensor.ts";
import { stored } from "./stored.ts";
import { wide } from "./wide.ts";

/** What the sums of a kernel are made of. */
export type Sum = "f32" | "vec2f";

/**
 * The shader of a kernel that calls workgroup_sum(v: Sum, lane) in workgroups of LANES lanes.
 * @param lanes a power of two
 */
export function summing(
  { kernel, parts = [], constants, alias }: Shader,
  can: Capabilities,
  lanes: number,
  sum: Sum,
): Shader {
  const size = can.subgroupSize;
  const [part, more]: [Source, Record<string, number>] = size === lanes
    ? [{ file: "kernels/common/sum_subgroup.wgsl", code: subgroup }, {}]
    : size !== undefined && size < lanes
    ? [{ file: "kernels/common/sum_subgroups.wgsl", code: subgroups }, { SUBGROUP: size }]
    : [{ file: "kernels/common/sum_tree.wgsl", code: tree }, {}];
  return {
    kernel,
    parts: [...parts, part],
    constants: { ...constants, ...more, LANES: lanes },
    alias: { ...alias, Sum: sum },
  };
}

/**
 * The shader of a kernel that gives each row of `C` numbers to one workgroup, reads them as Vec and calls
 * workgroup_sum. A lane gets about 16 numbers, a row never less than one subgroup; on a CPU never more,
 * for there lanes that wait for each other cost more than they bring. The kernel takes C from its
 * bindings, so that one pipeline serves many widths.
 * @param activations how the rows are stored that the kernel writes with narrowed
 */
export function summingRows(
  kernel: Source,
  can: Capabilities,
  sum: Sum,
  C: number,
  constants: Readonly<Record<string, number>> = {},
  activations?: DType,
): Shader {
  const least = can.subgroupSize ?? (can.software ? 8 : 32), most = can.software ? least : 256;
  const lanes = Math.min(most, Math.max(least, 2 ** Math.ceil(Math.log2(C / 16))));
  const parts = [wide(C), ...(activations ? stored(activations) : [])];
  return summing({ kernel, parts, constants }, can, lanes, sum);
}
