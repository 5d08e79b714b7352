import type { Tensor } from "../graph/tensor.ts";
import { dropout } from "../../kernels/dropout/dropout.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { loraScale, type Net } from "./net.ts";

/**
 * y[T,N] = x·Wᵀ + b + scale·(drop(x)·Aᵀ)·Bᵀ, with x f32[T,K], W[N,K], and where an adapter targets this
 * module A[R,K] and B[N,R] trained. Dropout acts on the adapter's input only, as PEFT does.
 */
export function linear(net: Net, name: string, x: Tensor, width: number, bias = false): Tensor {
  const { g, lora } = net;
  return g.scope(name, () => {
    const from = x.shape[1]!;
    const b = bias ? net.weight("bias", [width]) : undefined;
    const y = matmul(g, x, net.weight("weight", [width, from]), { form: "nt", bias: b });
    if (!lora?.targets(g.path)) return y;
    const stream = net.nextStream();
    const seen = lora.dropout > 0 ? dropout(g, x, net.clock, { p: lora.dropout, stream }) : x;
    const low = matmul(g, seen, g.trained("lora_A.weight", [lora.rank, from]), { form: "nt" });
    const up = g.trained("lora_B.weight", [width, lora.rank]);
    return matmul(g, low, up, { form: "nt", alpha: loraScale(lora), add: y });
  });
}
