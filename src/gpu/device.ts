import { Exit, Fail } from "../base/fail.ts";
import { chooseAdapter } from "./adapter.ts";
import { pin } from "./dawn.ts";
import { type Faults, Injector, outOfMemory } from "./faults.ts";
import { bindings, link, type Shader } from "./link.ts";
import { DISPATCH_LIMIT, SUBMIT_LIMIT } from "./pace.ts";

/** A product of matrices that a subgroup computes as one: [M, K] · [K, N], formats of operands and sums. */
export interface MatrixConfig {
  readonly component: "f32" | "f16";
  readonly result: "f32" | "f16";
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** For kinds of work, the names of the kernels that were measured to be the fastest. */
export type Tuned = Readonly<Record<string, string>>;

/** A kind of work that several kernels do: their names, the default first, and the one that was taken. */
export interface Choice {
  readonly kind: string;
  readonly ways: readonly string[];
  readonly way: string;
}

/** What an adapter can do; kernels choose their variants by it. Sizes are in bytes. */
export interface Capabilities {
  readonly f16: boolean;
  /** The format in which products may take their operands; "f16" only where it was asked for. */
  readonly compute: "f32" | "f16";
  readonly subgroups: boolean;
  /** Lanes in a subgroup, only when the adapter fixes it. */
  readonly subgroupSize: number | undefined;
  /** Lanes in the largest subgroup that the adapter makes. */
  readonly subgroupMost: number | undefined;
  readonly matrices: readonly MatrixConfig[];
  readonly tuned: Tuned;
  readonly maxBinding: number;
  readonly maxBuffer: number;
  readonly maxWorkgroupSize: number;
  readonly maxWorkgroupStorage: number;
  /** Workgroups in one dimension of a dispatch. */
  readonly maxWorkgroups: number;
  readonly maxStorageBuffers: number;
  readonly timestamps: boolean;
  readonly adapter: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly driver: string;
  readonly backend: string;
  readonly software: boolean;
}

export interface Pipeline {
  readonly key: string;
  readonly label: string;
  readonly gpu: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Part of a buffer; the whole of it unless told. */
export interface Slice {
  readonly buffer: GPUBuffer;
  readonly offset?: number;
  readonly bytes?: number;
}

export interface OpenOptions {
  /** "auto" (hardware, else software), "software", an index, or part of an adapter's name. */
  readonly device?: string;
  readonly backend?: string;
  /** See `Capabilities.compute`; f32 unless told. */
  readonly compute?: Capabilities["compute"];
  readonly faults?: Faults;
  /** Milliseconds the queue may be silent before the run is given up. */
  readonly patience?: number;
  /** Milliseconds one submit of `submitInTurn` may take; unless told, none for a software adapter. */
  readonly submitLimit?: number;
}

const chunk = 16 * 2 ** 20;
const ring = 4 * 2 ** 20;

/**
 * One GPU. WebGPU answers misuse with zeros and device loss with silence, so every way in is
 * checked on the host, and every way out goes through `check`.
 */
export class Device {
  readonly gpu: GPUDevice;
  /** Bytes in buffers that are not yet freed (the staging ring of `read` is not counted). */
  bytes = 0;
  /** The most that `bytes` has been since the last `attempt` began. */
  peakBytes = 0;
  /** What `Pace` keeps submits below, milliseconds. */
  readonly submitLimit: number;
  /** Kernels of which one dispatch took longer than it should, with the longest time in milliseconds. */
  readonly slow = new Map<string, number>();

  #capabilities: Capabilities;
  readonly #owned = new Map<GPUBuffer, string>();
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #scopes = new Set<Promise<void>>();
  readonly #injector: Injector;
  readonly #patience: number;
  readonly #flying: Promise<void>[] = [];
  #idle = 0;
  #staging: GPUBuffer[] = [];
  #reading: Promise<unknown> = Promise.resolve();
  #failure: Fail | undefined;
  #last = "the start";
  #closed = false;
  #hung = false;

  /**
   * Opens an adapter with the highest limits it has.
   * @throws Fail (exit 4) when there is no adapter, or none that `device` names.
   */
  static async open(options: OpenOptions = {}): Promise<Device> {
    const { adapter, name, backend } = await chooseAdapter(options.device, options.backend);
    const wanted = [
      "shader-f16",
      "subgroups",
      "chromium-experimental-subgroup-matrix",
      "timestamp-query",
    ] as GPUFeatureName[];
    const limits = [
      "maxBufferSize",
      "maxStorageBufferBindingSize",
      "maxStorageBuffersPerShaderStage",
      "maxComputeInvocationsPerWorkgroup",
      "maxComputeWorkgroupSizeX",
      "maxComputeWorkgroupSizeY",
      "maxComputeWorkgroupSizeZ",
      "maxComputeWorkgroupStorageSize",
      "maxComputeWorkgroupsPerDimension",
    ] as const;
    const gpu = await adapter.requestDevice({
      label: "whet",
      requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(limits.map((limit) => [limit, adapter.limits[limit]])),
    });
    pin([adapter, gpu]);
    const { compute = "f32" } = options;
    return new Device(gpu, { ...describe(adapter.info, gpu, name, backend), compute }, options);
  }

  private constructor(gpu: GPUDevice, capabilities: Capabilities, options: OpenOptions) {
    this.gpu = gpu;
    this.#capabilities = capabilities;
    this.#injector = new Injector(options.faults);
    this.#patience = options.patience ?? (capabilities.software ? 600_000 : 60_000);
    this.submitLimit = options.submitLimit ?? (capabilities.software ? Infinity : SUBMIT_LIMIT);
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault(); // else Dawn prints it as well
      const { error } = event as GPUUncapturedErrorEvent;
      // An encoding that is invalid says so when it is finished, before its submit has a name.
      const encoder = /\[CommandEncoder "([^"]*)"\]/.exec(error.message)?.[1];
      this.#reject(error, encoder ?? this.#last);
    });
    gpu.lost.then(({ message }) => this.#lose(message));
  }

  get capabilities(): Capabilities {
    return this.#capabilities;
  }

  /** From now on kernels are chosen by this table; what is built already stays as it is. */
  useTuned(tuned: Tuned): void {
    this.#capabilities = { ...this.#capabilities, tuned };
  }

  /**
   * The compiled kernel, cached by its linked text.
   * @throws Fail naming file, line and source of the first compile error.
   */
  pipeline(shader: Shader): Promise<Pipeline> {
    this.check();
    const { key } = link(shader);
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#compile(shader);
      pipeline.catch(() => {}); // whoever waits for it is told; who gave up before must not end the process
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /**
   * A zeroed storage buffer; its size is rounded up to 16 bytes.
   * @throws Fail (exit 5) when it is above the adapter's limit or a fault says so. An allocation
   * that the driver refuses later surfaces in `check`.
   */
  buffer(label: string, bytes: number): GPUBuffer {
    this.check();
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new Fail(`${label}: ${bytes} is not a number of bytes`);
    }
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const { maxBuffer } = this.capabilities;
    if (size > maxBuffer) {
      throw new Fail(
        `${label} needs a buffer of ${size} bytes; this adapter stops at ${maxBuffer}`,
        {
          why: "one buffer cannot be larger than the adapter's maxBufferSize",
          fix: "lower the token budget of a step or choose another adapter with --device",
          exit: Exit.memory,
        },
      );
    }
    this.#injector.allocate(label, size, this.bytes);
    this.gpu.pushErrorScope("out-of-memory");
    const buffer = this.gpu.createBuffer({
      label,
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
    });
    const total = this.bytes;
    this.#scope(() => this.#fail(outOfMemory(label, size, total)));
    this.#owned.set(buffer, label);
    this.bytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    this.#poison(buffer);
    return buffer;
  }

  /** Destroys a buffer of `buffer`; the queue's earlier work still sees it. */
  free(buffer: GPUBuffer): void {
    if (!this.#owned.delete(buffer)) {
      throw new Fail(`${buffer.label} is not a live buffer of this device`);
    }
    this.bytes -= buffer.size;
    buffer.destroy();
  }

  /**
   * Does what allocates. When memory runs out, every buffer that it made is freed and the device is as
   * before, so that something smaller can be tried.
   * @throws what `work` throws; Fail (exit 5) also for what the driver refused later
   */
  async attempt<T>(work: () => Promise<T>): Promise<T> {
    this.peakBytes = this.bytes;
    const before = new Set(this.#owned.keys());
    try {
      const result = await work();
      await this.done();
      return result;
    } catch (error) {
      if (!this.#closed) await this.#settled();
      const cause = this.#failure ?? error;
      if (!(cause instanceof Fail) || cause.exit !== Exit.memory) throw error;
      for (const buffer of [...this.#owned.keys()]) if (!before.has(buffer)) this.free(buffer);
      for (const staging of this.#staging) staging.unmap(); // a read that was cut short
      this.#failure = undefined;
      throw cause;
    }
  }

  /** Resolves when every error of what was done so far is known. */
  async #settled(): Promise<void> {
    while (this.#scopes.size > 0) await Promise.all(this.#scopes);
    await this.gpu.queue.onSubmittedWorkDone().catch(() => {});
    await new Promise((turn) => setTimeout(turn));
  }

  /**
   * Copies `data` to the buffer from byte `offset` (a multiple of 4). A length that is not a
   * multiple of 4 is completed with zeros.
   */
  write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    this.check();
    // Dawn divides by the element size of what it is given and does not know Float16Array.
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#within(buffer, offset, Math.ceil(bytes.length / 4) * 4);
    const whole = bytes.length & ~3;
    for (let at = 0; at < whole; at += chunk) {
      const size = Math.min(chunk, whole - at);
      this.gpu.queue.writeBuffer(buffer, offset + at, bytes, at, size);
    }
    if (whole < bytes.length) {
      const tail = new Uint8Array(4);
      tail.set(bytes.subarray(whole));
      this.gpu.queue.writeBuffer(buffer, offset + whole, tail);
    }
    this.#poison(buffer);
  }

  /**
   * Copies bytes of a buffer to the host, any amount (offset a multiple of 4). Reads are served in
   * the order of the calls.
   */
  read(buffer: GPUBuffer, offset: number, bytes: number): Promise<Uint8Array> {
    const result = this.#reading.then(() => this.#copyOut(buffer, offset, bytes));
    this.#reading = result.catch(() => {});
    return result;
  }

  /**
   * A bind group for the kernel's bindings in order.
   * @throws Fail when a slice is outside its buffer, misaligned or larger than a binding may be.
   */
  group(pipeline: Pipeline, slices: readonly Slice[]): GPUBindGroup {
    const entries = slices.map(({ buffer, offset = 0, bytes }, binding) => {
      const size = bytes === undefined ? buffer.size - offset : Math.ceil(bytes / 4) * 4;
      this.#within(buffer, offset, size);
      const { maxBinding } = this.capabilities;
      const align = this.gpu.limits.minStorageBufferOffsetAlignment;
      if (size > maxBinding || size === 0 || offset % align !== 0) {
        throw new Fail(
          `${pipeline.label}: binding ${binding} (${buffer.label}, ${size} bytes at ${offset}) ` +
            `must have 1 to ${maxBinding} bytes and start at a multiple of ${align}`,
          { exit: Exit.gpu },
        );
      }
      return { binding, resource: { buffer, offset, size } };
    });
    return this.gpu.createBindGroup({ label: pipeline.label, layout: pipeline.layout, entries });
  }

  /** @throws Fail unless each of x, y, z is a count of workgroups the adapter takes. */
  checkWorkgroups(label: string, workgroups: readonly number[]): void {
    const { maxWorkgroups } = this.capabilities;
    if (workgroups.some((n) => !Number.isInteger(n) || n < 0 || n > maxWorkgroups)) {
      throw new Fail(
        `${label}: ${workgroups.join(" x ")} workgroups, at most ${maxWorkgroups} each`,
        {
          exit: Exit.gpu,
        },
      );
    }
  }

  /** Hands recorded work to the queue; `label` names it in any error. */
  submit(label: string, commands: GPUCommandBuffer[]): void {
    this.check();
    this.#last = label;
    if (this.#injector.submit()) {
      this.#lose("a test asked for it");
      this.gpu.destroy();
      this.check();
    }
    if (this.#injector.poisoning) {
      for (const buffer of this.#owned.keys()) this.#poison(buffer);
    }
    this.gpu.pushErrorScope("validation");
    this.gpu.queue.submit(commands);
    this.#scope((error) => this.#reject(error, label));
  }

  /**
   * Submits when no more than one submit of this kind is unfinished, so that the queue is never empty and
   * never long.
   * @param told called with the milliseconds that the device took for it
   */
  async submitInTurn(
    label: string,
    commands: GPUCommandBuffer[],
    told: (ms: number) => void,
  ): Promise<void> {
    while (this.#flying.length > 1) await this.#wait(this.#flying.shift()!);
    const began = performance.now();
    this.submit(label, commands);
    const finished = this.gpu.queue.onSubmittedWorkDone().then(() => {
      const ended = performance.now();
      told(ended - Math.max(began, this.#idle));
      this.#idle = ended;
    });
    finished.catch(() => {}); // a lost device is told by `check`
    this.#flying.push(finished);
  }

  /** Remembers a dispatch that took too long, by its kernel. */
  dispatched(kernel: string, ms: number): void {
    if (ms > DISPATCH_LIMIT) this.slow.set(kernel, Math.max(ms, this.slow.get(kernel) ?? 0));
  }

  /**
   * Waits for everything submitted so far.
   * @throws what `check` throws, or Fail (exit 4) when the queue stays silent for too long.
   */
  async done(): Promise<void> {
    this.check();
    await this.#wait(this.gpu.queue.onSubmittedWorkDone());
    await Promise.all(this.#scopes);
    this.check();
  }

  /** @throws Fail with the first error since the device was opened, or its loss. */
  check(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed) throw new Fail("The GPU device was used after it was closed");
  }

  /** Destroys the device and all its buffers; a hung device is left to the end of the process. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owned.clear();
    this.bytes = 0;
    if (!this.#hung) this.gpu.destroy(); // it would wait for the kernel that never ends
  }

  async #compile(shader: Shader): Promise<Pipeline> {
    const { key, code, locate } = link(shader);
    const entryPoint = shader.entry ?? "main";
    const label = `${shader.kernel.file}#${entryPoint}`;
    this.gpu.pushErrorScope("validation");
    const module = this.gpu.createShaderModule({ label, code });
    const invalid = this.gpu.popErrorScope();
    const { messages } = await module.getCompilationInfo();
    const refused = await invalid;
    this.check();
    const error = messages.find(({ type }) => type === "error");
    if (error || refused) {
      const { file, line, text } = locate(error?.lineNum ?? 0);
      throw new Fail(`${file}:${line}: ${error?.message ?? refused?.message}`, {
        why: text.trim(),
        exit: Exit.gpu,
      });
    }
    const layout = this.#layout(shader);
    try {
      const gpu = await this.#wait(this.gpu.createComputePipelineAsync({
        label,
        layout: this.gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint },
      }));
      this.check();
      return { key, label, gpu, layout };
    } catch (cause) {
      this.check();
      throw new Fail(`${label} cannot become a pipeline`, {
        why: cause instanceof Error ? cause.message : String(cause),
        exit: Exit.gpu,
        cause,
      });
    }
  }

  #layout(shader: Shader): GPUBindGroupLayout {
    const accesses = bindings(shader).map(({ access }) => access);
    const { maxStorageBuffers } = this.capabilities;
    if (accesses.filter((access) => access !== "uniform").length > maxStorageBuffers) {
      throw new Fail(`${shader.kernel.file} binds ${accesses.length} buffers`, {
        why: `this adapter takes ${maxStorageBuffers} in one kernel`,
        exit: Exit.gpu,
      });
    }
    const key = accesses.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const types = {
        read: "read-only-storage",
        read_write: "storage",
        uniform: "uniform",
      } as const;
      layout = this.gpu.createBindGroupLayout({
        label: key,
        entries: accesses.map((access, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: types[access] },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  async #copyOut(buffer: GPUBuffer, offset: number, bytes: number): Promise<Uint8Array> {
    this.check();
    this.#within(buffer, offset, Math.ceil(bytes / 4) * 4);
    // Made once: a mapped buffer that is destroyed leaks its memory.
    while (this.#staging.length < 2) {
      this.#staging.push(this.gpu.createBuffer({
        label: "staging",
        size: ring,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      }));
    }
    const out = new Uint8Array(bytes);
    const fetch = (at: number) => {
      const staging = this.#staging[(at / ring) % 2]!;
      const size = Math.min(ring, bytes - at);
      const padded = Math.ceil(size / 4) * 4;
      const encoder = this.gpu.createCommandEncoder({ label: `read ${buffer.label}` });
      encoder.copyBufferToBuffer(buffer, offset + at, staging, 0, padded);
      this.submit(`read ${buffer.label}`, [encoder.finish()]);
      const mapped = staging.mapAsync(GPUMapMode.READ, 0, padded);
      mapped.catch(() => {});
      return { at, size, padded, staging, mapped };
    };
    let next = bytes > 0 ? fetch(0) : undefined;
    while (next) {
      const { at, size, padded, staging, mapped } = next;
      next = at + size < bytes ? fetch(at + size) : undefined;
      try {
        await this.#wait(mapped);
      } catch (cause) {
        // The reason for a refused map arrives as an event of its own, a turn later.
        await Promise.all(this.#scopes);
        this.check();
        throw new Fail(`Reading ${buffer.label} failed`, { exit: Exit.gpu, cause });
      }
      this.check();
      out.set(new Uint8Array(staging.getMappedRange(0, padded)).subarray(0, size), at);
      staging.unmap();
    }
    await Promise.all(this.#scopes);
    this.check();
    this.#injector.read(buffer.label, offset, out);
    return out;
  }

  /** Waits, but not for ever: a hung kernel never resolves anything. */
  async #wait<T>(promise: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#hung = true;
        this.#fail(
          new Fail(`The GPU has not answered for ${this.#patience / 1000} s after ${this.#last}`, {
            why: "a kernel hangs or takes far too long",
            fix: "resume with smaller steps (--max-seq, --batch), and run `whet doctor`",
            exit: Exit.gpu,
          }),
        );
        reject(this.#failure);
      }, this.#patience);
    });
    try {
      return await Promise.race([promise, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the innermost error scope and remembers its answer until it is known. */
  #scope(report: (error: GPUError) => void): void {
    const answer: Promise<void> = this.gpu.popErrorScope()
      .then((error) => {
        if (error) report(error);
      }, () => {})
      .finally(() => this.#scopes.delete(answer));
    this.#scopes.add(answer);
  }

  #within(buffer: GPUBuffer, offset: number, bytes: number): void {
    if (!this.#owned.has(buffer)) throw new Fail(`${buffer.label} is not a live buffer`);
    if (offset % 4 !== 0 || offset < 0 || offset + bytes > buffer.size) {
      throw new Fail(
        `${buffer.label}: bytes ${offset} to ${offset + bytes} of ${buffer.size} ` +
          "(the offset must be a multiple of 4)",
      );
    }
  }

  #poison(buffer: GPUBuffer): void {
    if (!this.#injector.poisons(buffer.label)) return;
    const quiet = new Uint32Array(Math.min(buffer.size, chunk) / 4).fill(0x7fc07fc0); // NaN as f32, f16, bf16
    const bytes = new Uint8Array(quiet.buffer);
    for (let at = 0; at < buffer.size; at += chunk) {
      this.gpu.queue.writeBuffer(buffer, at, bytes, 0, Math.min(chunk, buffer.size - at));
    }
  }

  #reject(error: GPUError, label: string): void {
    this.#fail(
      new Fail(`The GPU refused ${label}`, {
        why: error.message,
        fix: "this is a defect in whet: please report it with the output of `whet doctor`",
        exit: Exit.gpu,
      }),
    );
  }

  #lose(message: string): void {
    if (this.#closed) return;
    this.#fail(
      new Fail(`The GPU was lost during ${this.#last}`, {
        why: message || "the driver gave no reason",
        fix: "run the same command again with --resume; the last checkpoint is intact",
        exit: Exit.gpu,
      }),
    );
  }

  #fail(failure: Fail): void {
    // A buffer that was not allocated is refused wherever it is used; that may be told first.
    this.#failure = failure.exit === Exit.memory ? failure : this.#failure ?? failure;
  }
}

function describe(
  info: GPUAdapterInfo,
  gpu: GPUDevice,
  name: string,
  backend: string,
): Omit<Capabilities, "compute"> {
  const { limits, features } = gpu;
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  const subgroups = features.has("subgroups" as GPUFeatureName);
  const matrices = matrixConfigs(info, gpu);
  return {
    f16: features.has("shader-f16"),
    subgroups,
    subgroupSize: subgroups && least === most ? least : undefined,
    // Dawn says 64 for all of Metal; its matrix units are Apple's, whose subgroups have 32 lanes.
    subgroupMost: subgroups ? matrices.length > 0 && backend === "metal" ? 32 : most : undefined,
    matrices,
    tuned: {},
    maxBinding: limits.maxStorageBufferBindingSize,
    maxBuffer: limits.maxBufferSize,
    maxWorkgroupSize: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: limits.maxComputeWorkgroupStorageSize,
    maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    timestamps: features.has("timestamp-query"),
    adapter: name,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    backend,
    software: info.isFallbackAdapter,
  };
}

/** What Dawn lists beyond the standard: https://dawn.googlesource.com/dawn, subgroup_matrix.md. */
interface ListedConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** The matrix products of floats that the device computes; none where the feature is not on. */
function matrixConfigs(info: GPUAdapterInfo, gpu: GPUDevice): MatrixConfig[] {
  if (!gpu.features.has("chromium-experimental-subgroup-matrix" as GPUFeatureName)) return [];
  const { subgroupMatrixConfigs = [] } = info as {
    subgroupMatrixConfigs?: Iterable<ListedConfig>;
  };
  const float = (type: string): type is "f32" | "f16" => type === "f32" || type === "f16";
  return [...subgroupMatrixConfigs].flatMap((
    { componentType: component, resultComponentType: result, M, N, K },
  ) => float(component) && float(result) ? [{ component, result, M, N, K }] : []);
}
