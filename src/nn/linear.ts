import type { Tensor } from "../graph/tensor.ts";
import type { Storage } from "../../kernels/common/stored.ts";
import { lora } from "../../kernels/lora/lora.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { loraScale, type Net } from "./net.ts";

/**
 * y[T,N] = x·Wᵀ + b + scale·(drop(x)·Aᵀ)·Bᵀ, with x f32 or f16[T,K], W[N,K], and where an adapter targets this
 * module A[R,K] and B[N,R] trained. Dropout acts on the adapter's input only, as PEFT does.
 * @param out how y is stored; what goes into the residual stream is f32
 */
export function linear(
  net: Net,
  name: string,
  x: Tensor,
  width: number,
  { bias = false, out = net.stored(width) }: { bias?: boolean; out?: Storage } = {},
): Tensor {
  const { g, lora: adapter } = net;
  return g.scope(name, () => {
    const from = x.shape[1]!;
    const b = bias ? net.weight("bias", [width]) : undefined;
    const w = net.weight("weight", [width, from]);
    if (!adapter?.targets(g.path)) return matmul(g, x, w, { form: "nt", bias: b, out });
    const { rank, dropout: p } = adapter, stream = net.nextStream();
    return lora(g, {
      x,
      w,
      a: g.trained("lora_A.weight", [rank, from]),
      b: g.trained("lora_B.weight", [width, rank]),
      scale: loraScale(adapter),
      drop: p > 0 ? { p, stream } : undefined,
      clock: net.clock,
      bias: b,
      out,
    });
  });
}
