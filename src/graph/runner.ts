import { Exit, Fail } from "../base/fail.ts";
import type { Device, Pipeline } from "../gpu/device.ts";
import { bindOnce } from "../gpu/link.ts";
import { Pace } from "../gpu/pace.ts";
import type { Launch, Node } from "./graph.ts";
import type { Memory, Place } from "./memory.ts";
import { type Plan, plan, prune } from "./plan.ts";
import { bytesOf, count, offsetOf, show, sizes, storageOf } from "./tensor.ts";
import type { Tensor, View } from "./tensor.ts";

/** One dispatch of a run, ready to be encoded. */
export interface Dispatch {
  readonly node: Node;
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: Launch["workgroups"];
}

/** The launch with one binding where the planner put an output in the place of an input. */
export function inPlace(launch: Launch, place: (bound: Tensor | View) => Place): Launch {
  const { shader, kept } = bindOnce(launch.shader, launch.bind.map(place));
  return { ...launch, shader, bind: kept.map((i) => launch.bind[i]!) };
}

/**
 * The device side of a record: pipelines, buffers and bind groups, made once. After `prepare` a run
 * allocates nothing: it writes inputs and replays the dispatches.
 */
export class Runner {
  readonly plan: Plan;
  readonly #name: string;
  readonly #device: Device;
  readonly #memory: Memory;
  readonly #inputs: Map<Tensor, GPUBuffer>;
  readonly #slots: readonly GPUBuffer[];
  #dispatches: readonly Dispatch[] = [];
  #pace!: Pace;

  private constructor(name: string, memory: Memory, plan: Plan, inputs: readonly Tensor[]) {
    this.#name = name;
    this.#memory = memory;
    this.#device = memory.device;
    this.plan = plan;
    this.#slots = memory.slots(name, plan.slotBytes);
    this.#inputs = new Map(
      inputs.map((t) => [t, this.#device.buffer(`${name} input ${t.name}`, bytesOf(t))]),
    );
  }

  /**
   * Plans and builds everything `nodes` need.
   * @param keep values that `read` may ask for after a run
   */
  static async prepare(
    name: string,
    memory: Memory,
    nodes: readonly Node[],
    keep: readonly Tensor[],
  ): Promise<Runner> {
    const planned = plan(prune(nodes, keep), keep), read = planned.nodes.flatMap((n) => n.inputs);
    const inputs = new Set(read.filter((t) => t.home === "input"));
    const runner = new Runner(name, memory, planned, [...inputs]);
    await runner.#build();
    return runner;
  }

  async #build(): Promise<void> {
    const device = this.#device;
    const launches: { node: Node; launch: Launch; pipeline: Promise<Pipeline> }[] = [];
    for (const node of this.plan.nodes) {
      for (const made of node.op.launch(node, device.capabilities)) {
        const launch = inPlace(made, (bound) => this.place(bound));
        launches.push({ node, launch, pipeline: device.pipeline(launch.shader) });
      }
    }
    const dispatches: Dispatch[] = [];
    for (const { node, launch, pipeline } of launches) {
      const built = await pipeline;
      device.checkWorkgroups(`${this.#name} ${node.op.name}`, launch.workgroups);
      const slices = launch.bind.map((bound) => {
        const { buffer, offset, size } = this.place(bound);
        if (size > device.capabilities.maxBinding) throw tooLarge(bound, size, device);
        return { buffer, offset, bytes: size };
      });
      const group = device.group(built, slices);
      dispatches.push({ node, pipeline: built, group, workgroups: launch.workgroups });
    }
    this.#dispatches = dispatches;
    this.#pace = new Pace(dispatches.length, device.submitLimit);
    device.check();
  }

  /** The bytes behind a tensor or a stretch of one. */
  place(bound: Tensor | View): Place {
    if ("tensor" in bound) {
      const { buffer, offset, size } = this.place(bound.tensor), { dtype } = bound.tensor;
      const word = sizes[dtype], row = bound.shape.at(-1)!;
      const at = (n: number) => word ? n * word : bytesOf({ shape: [n / row, row], dtype });
      const from = at(bound.offset), bytes = at(count(bound.shape));
      if (from % 256 !== 0 || from + bytes > size) {
        throw new Error(`a view of ${show(bound.tensor)} at byte ${from} of ${bytes} bytes`);
      }
      return { buffer, offset: offset + from, size: bytes };
    }
    const t = storageOf(bound), at = this.plan.placeOf.get(t), size = bytesOf(bound);
    const buffer = at ? this.#slots[at.slot] : this.#inputs.get(t);
    const place = buffer ? { buffer, offset: at?.offset ?? 0 } : this.#memory.place(t);
    return { buffer: place.buffer, offset: place.offset + offsetOf(bound), size };
  }

  /** Whether any dispatch reads an input: what nothing reads need not be made. */
  reads(input: Tensor): boolean {
    return this.#inputs.has(input);
  }

  /** Fills an input. An input that nothing reads is passed over. */
  write(input: Tensor, data: Uint32Array | Float32Array): void {
    if (data.length !== count(input.shape)) {
      throw new Error(`${show(input)} was given ${data.length} numbers`);
    }
    const buffer = this.#inputs.get(input);
    if (buffer) this.#device.write(buffer, 0, data);
  }

  /** Encodes and submits every dispatch; resolves when all are submitted, before the device is done. */
  async run(): Promise<void> {
    const device = this.#device;
    let from = 0;
    for (const { count, told } of this.#pace.next()) {
      const some = this.#dispatches.slice(from, from += count);
      const encoder = device.gpu.createCommandEncoder({ label: this.#name });
      const pass = encoder.beginComputePass({ label: this.#name });
      let set: Pipeline | undefined;
      for (const { pipeline, group, workgroups } of some) {
        if (pipeline !== set) pass.setPipeline((set = pipeline).gpu);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
      }
      pass.end();
      const commands = [encoder.finish()];
      if (!this.#pace.measures) device.submit(this.#name, commands);
      else {
        await device.submitInTurn(this.#name, commands, (ms) => {
          told(ms);
          if (count === 1) device.dispatched(set!.label, ms);
        });
      }
    }
  }

  /** The bytes of a tensor, whole words. */
  async bytes(t: Tensor): Promise<Uint8Array> {
    const { buffer, offset, size } = this.place(t);
    return await this.#device.read(buffer, offset, Math.ceil(size / 4) * 4);
  }

  /** Reads a kept value, until another runs over the same memory, or a lasting f32 tensor. */
  async read(t: Tensor): Promise<Float32Array> {
    const bytes = await this.bytes(t);
    return new Float32Array(bytes.buffer, bytes.byteOffset, count(t.shape));
  }
  async readU32(t: Tensor): Promise<Uint32Array> {
    return new Uint32Array((await this.bytes(t)).slice().buffer);
  }

  /** What a run does, in its order. */
  get dispatches(): readonly Dispatch[] {
    return this.#dispatches;
  }

  /** Gives the inputs back to the device; the slots are the memory's. */
  free(): void {
    for (const buffer of this.#inputs.values()) this.#device.free(buffer);
  }
}

function tooLarge(bound: Tensor | View, size: number, { capabilities }: Device): Fail {
  const what = show("tensor" in bound ? bound.tensor : bound);
  return new Fail(
    `${what} takes ${size} bytes, one binding of this GPU holds ${capabilities.maxBinding}`,
    {
      why:
        "frozen matrices of 16- and 32-bit numbers and of GGUF blocks are taken in pieces; nothing else is",
      fix: "choose fewer tokens a step, a model with smaller matrices, or another GPU",
      exit: Exit.memory,
    },
  );
}
