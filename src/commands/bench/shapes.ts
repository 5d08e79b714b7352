/** The layer of a real model, as far as its kernels see it. */
export interface Layer {
  readonly model: string;
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
}

export const layers: readonly Layer[] = [
  {
    model: "SmolLM-135M",
    width: 576,
    inner: 1536,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    vocab: 49_152,
  },
  {
    model: "Llama-3.2-1B",
    width: 2048,
    inner: 8192,
    heads: 32,
    kvHeads: 8,
    headDim: 64,
    vocab: 128_256,
  },
  {
    model: "Phi-2",
    width: 2560,
    inner: 10_240,
    heads: 32,
    kvHeads: 32,
    headDim: 80,
    vocab: 51_200,
  },
];
