/** onnxruntime-web's WebGPU backend under Bun, on the adapter that whet uses. */
import { join } from "node:path";
import { chooseAdapter } from "../../src/gpu/adapter.ts";
import { instance } from "../../src/gpu/dawn.ts";
import { type OneNode, oneNodeModel } from "./onnx.ts";

/** The part of onnxruntime-web that is used here; its own types come only with its package. */
interface OrtTensor {
  getData(): Promise<ArrayLike<number>>;
  dispose(): void;
}
interface Ort {
  readonly env: {
    logLevel: string;
    readonly versions: Readonly<Record<string, string>>;
    readonly wasm: { numThreads: number };
    readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice };
  };
  readonly Tensor: {
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: string; dims: readonly number[] },
    ): OrtTensor;
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{
      run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
      release(): Promise<void>;
    }>;
  };
}

export interface Peer {
  /** Seconds of one run, from the call until the GPU is done. */
  run(): Promise<number>;
  /** Output numbers, row-major. */
  result(): Promise<ArrayLike<number>>;
  free(): Promise<void>;
}

let loaded: Promise<Ort> | undefined;

/** Loads the library with `navigator.gpu` set to Dawn's object of the chosen adapter. */
function library(): Promise<Ort> {
  return loaded ??= (async () => {
    const { name, backend } = await chooseAdapter(process.env.WHET_DEVICE);
    const gpu = instance([`backend=${backend}`, `adapter=${name}`]);
    Object.defineProperty(globalThis.navigator, "gpu", {
      value: gpu,
      configurable: true,
    });
    const file = "node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs";
    const ort = await import(join(import.meta.dir, file)) as Ort;
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1;
    return ort;
  })();
}

export const ortVersion = async (): Promise<string> =>
  (await library()).env.versions.web ?? "unknown";

/**
 * A session of one node with its input on the GPU.
 * @throws Error where the node would not run on the GPU: falling back to the processor is turned off
 */
export async function ortPeer(
  node: OneNode,
  input: ArrayBufferView,
): Promise<Peer> {
  const ort = await library();
  const session = await ort.InferenceSession.create(oneNodeModel(node), {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
    logSeverityLevel: 3,
    extra: { session: { disable_cpu_ep_fallback: "1" } },
  });
  const device = await ort.env.webgpu.device;
  const buffer = device.createBuffer({
    size: Math.ceil(input.byteLength / 16) * 16,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
      GPUBufferUsage.COPY_DST,
  });
  // Bytes, whatever the element type: Dawn does not know Float16Array.
  const bytes = new Uint8Array(
    input.buffer,
    input.byteOffset,
    input.byteLength,
  );
  device.queue.writeBuffer(buffer, 0, bytes);
  const { name, type, dims } = node.input;
  const given = ort.Tensor.fromGpuBuffer(buffer, { dataType: type, dims });
  const once = async () => (await session.run({ [name]: given }))[node.output.name]!;
  return {
    async run() {
      const began = performance.now();
      const out = await once();
      await device.queue.onSubmittedWorkDone();
      const seconds = (performance.now() - began) / 1000;
      out.dispose();
      return seconds;
    },
    async result() {
      const out = await once(), data = await out.getData();
      out.dispose();
      return data;
    },
    async free() {
      await session.release();
      buffer.destroy();
    },
  };
}
