import type { Tensor } from "../graph/tensor.ts";
import { dropout } from "../../kernels/dropout/dropout.ts";
import type { Storage } from "../../kernels/common/stored.ts";
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
  const { g, lora } = net;
  return g.scope(name, () => {
    const from = x.shape[1]!;
    const b = bias ? net.weight("bias", [width]) : undefined;
    const w = net.weight("weight", [width, from]);
    if (!lora?.targets(g.path)) return matmul(g, x, w, { form: "nt", bias: b, out });
    const y = matmul(g, x, w, { form: "nt", bias: b });
    const stream = net.nextStream();
    const seen = lora.dropout > 0 ? dropout(g, x, net.clock, { p: lora.dropout, stream }) : x;
    const down = g.trained("lora_A.weight", [lora.rank, from]);
    const low = matmul(g, seen, down, { form: "nt", out: net.stored(lora.rank) });
    const up = g.trained("lora_B.weight", [width, lora.rank]);
    return matmul(g, low, up, { form: "nt", alpha: loraScale(lora), add: y, out });
  });
}
