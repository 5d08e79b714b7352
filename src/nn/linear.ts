import type { Tensor } from "../graph/tensor.ts";
import type { Storage } from "../../kernels/common/stored.ts";
import { lora } from "../../kernels/lora/lora.ts";
import { matmul } from "../../kernels/matmul/matmul.ts";
import { magnitude, rowNorm } from "../../kernels/dora/dora.ts";
import { type Dropout, dropout } from "../../kernels/dropout/dropout.ts";
import { subtract } from "../../kernels/subtract/subtract.ts";
import { loraScale, type Net } from "./net.ts";

/**
 * y[T,N] = x·Wᵀ + b + scale·(drop(x)·Aᵀ)·Bᵀ, with x f32 or f16[T,K], W[N,K], and where an adapter targets this
 * module A[R,K] and B[N,R] trained. Dropout acts on the adapter's input only, as PEFT does. With DoRA see
 * `directed`.
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
    const { rank, dropout: p } = adapter, stream = net.nextStream(), scale = loraScale(adapter);
    const drop = p > 0 ? { p, stream } : undefined;
    const a = g.trained("lora_A.weight", [rank, from]);
    const down = g.trained("lora_B.weight", [width, rank]);
    if (adapter.dora) return directed(net, { x, w, a, b: down, scale, drop, bias: b });
    return lora(g, {
      x,
      w,
      a,
      b: down,
      scale,
      drop,
      clock: net.clock,
      bias: b,
      out,
    });
  });
}

/** What DoRA is made of: a frozen layer and its adapter. */
interface Adapted {
  readonly x: Tensor;
  readonly w: Tensor;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly scale: number;
  readonly drop?: Dropout;
  readonly bias?: Tensor;
}

/**
 * y[T,N] = (x - z)·Wᵀ + m/|V| · (z·Vᵀ) + bias, V = W + scale·B·A with rows of length |V|, z = drop(x) and m[N]
 * trained: DoRA as PEFT has it, where what dropout takes from x reaches the base as it is.
 */
function directed(net: Net, { x, w, a, b, scale, drop, bias }: Adapted): Tensor {
  const { g } = net, m = g.trained("lora_magnitude_vector", [w.shape[0]!]);
  const norm = rowNorm(g, w, a, b, scale), z = drop ? dropout(g, x, net.clock, drop) : x;
  const whole = lora(g, { x: z, w, a, b, scale });
  if (!drop) return magnitude(g, whole, m, norm, bias);
  const add = magnitude(g, whole, m, norm);
  return matmul(g, subtract(g, x, z), w, { form: "nt", bias, add });
}
