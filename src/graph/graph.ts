import type { Capabilities, Choice } from "../gpu/device.ts";
import type { Shader } from "../gpu/link.ts";
import {
  count,
  type DType,
  type Home,
  type Shape,
  type Spec,
  type Tensor,
  type View,
} from "./tensor.ts";

/** One dispatch, before memory is known: a shader, its grid, and the tensors in binding order. */
export interface Launch {
  readonly shader: Shader;
  readonly workgroups: readonly [number, number, number];
  readonly bind: readonly (Tensor | View)[];
  /** Where several kernels would do. */
  readonly choice?: Choice;
}

/** One operation: its shapes, its meaning, its kernels and its derivative, side by side. */
export interface Op<A = unknown> {
  readonly name: string;
  /** Output specs. Throws `Fail`, naming the tensors, when the inputs do not fit. */
  infer(inputs: readonly Tensor[], attrs: A): Spec[];
  /** What the op means, in float64, row-major. Kernels must agree with this, never the reverse. */
  reference(inputs: readonly Float64Array[], attrs: A, node: Node<A>): Float64Array[];
  /** The dispatches that compute it on a device with these capabilities. */
  launch(node: Node<A>, can: Capabilities): Launch[];
  /**
   * Records the gradient of each wanted input. `grads[i]` is undefined where no gradient reaches
   * output i. Absent: the op has no gradient.
   */
  backward?(
    g: Graph,
    node: Node<A>,
    grads: readonly (Tensor | undefined)[],
    wants: readonly boolean[],
  ): (Tensor | undefined)[];
  /** Arithmetic of the dispatches, where it is worth counting (a multiply-add is two). */
  flops?(node: Node<A>): number;
  /**
   * Computing it again takes less than keeping its outputs for the backward pass, which has its inputs at
   * hand anyhow: norms, activations, dropout.
   */
  readonly light?: true;
  /**
   * Pairs [output, input]: that output may lie where that input does, for the lane that writes an element
   * is the only one that reads it, and has read it before. The planner decides.
   */
  inPlace?(attrs: A): readonly (readonly [number, number])[];
  /** The outputs are stretches of the one input, one after another; no bytes move. */
  readonly splits?: true;
  /** `updates[i]` is the input that output i overwrites in place. Such a node is never pruned. */
  readonly updates?: readonly number[];
}

export interface Node<A = unknown> {
  readonly op: Op<A>;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: A;
}

/** A stretch of nodes whose values may be dropped after the forward pass and computed again. */
export interface Block {
  readonly start: number;
  readonly end: number;
  /** Blocks within: computed again one by one even then, so that only one's values live at a time. */
  readonly inside: readonly Block[];
}

/** Records a computation once. Nothing runs here, and nothing is allocated here. */
export class Graph {
  readonly nodes: Node[] = [];
  /** The outermost blocks. */
  readonly blocks: Block[] = [];
  #open = this.blocks;
  #named = new Map<string, Tensor>();
  #next = 0;
  #path: string[] = [];

  /** Runs `body` with `name` pushed on the path, so its tensors are named "name.…". */
  scope<T>(name: string, body: () => T): T {
    this.#path.push(name);
    try {
      return body();
    } finally {
      this.#path.pop();
    }
  }

  /** The dotted path of the scopes that are open. */
  get path(): string {
    return this.#path.join(".");
  }

  #tensor(name: string, spec: Spec, home: Home, more: Partial<Tensor> = {}): Tensor {
    return {
      id: this.#next++,
      name: [...this.#path, name].join("."),
      shape: spec.shape,
      dtype: spec.dtype,
      home,
      needsGrad: home === "trained",
      ...more,
    };
  }
  /** A tensor that is one thing however often it is asked for: the same name gives the same tensor. */
  #once(name: string, spec: Spec, home: Home, more?: Partial<Tensor>): Tensor {
    const made = this.#tensor(name, spec, home, more);
    const key = `${home} ${made.name}`, known = this.#named.get(key);
    if (known && String(known.shape) === String(spec.shape) && known.dtype === spec.dtype) {
      return known;
    }
    if (known) throw new Error(`${made.name} is recorded twice with different shapes`);
    this.#named.set(key, made);
    return made;
  }
  input(name: string, shape: Shape, dtype: DType): Tensor {
    return this.#once(name, { shape, dtype }, "input");
  }
  constant(name: string, shape: Shape, data: Float32Array | Uint32Array): Tensor {
    const dtype = data instanceof Float32Array ? "f32" : "u32";
    return this.#once(name, { shape, dtype }, "constant", { data });
  }
  frozen(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
    return this.#once(name, { shape, dtype }, "frozen");
  }
  trained(name: string, shape: Shape): Tensor {
    return this.#once(name, { shape, dtype: "f32" }, "trained");
  }
  state(name: string, shape: Shape, dtype: DType = "f32"): Tensor {
    return this.#once(name, { shape, dtype }, "state");
  }
  /** The gradient arena's place for a trained tensor. */
  gradient(of: Tensor): Tensor {
    const key = `gradient ${of.name}`;
    const made = this.#named.get(key) ??
      this.#tensor("", of, "gradient", { name: of.name, needsGrad: false });
    this.#named.set(key, made);
    return made;
  }
  arena(name: string, shape: Shape): Tensor {
    return this.#once(name, { shape, dtype: "f32" }, "arena");
  }
  /** Every tensor of a home recorded so far, in order of first mention. */
  all(home: Home): Tensor[] {
    return [...this.#named.values()].filter((t) => t.home === home);
  }

  add<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
    const needsGrad = op.backward !== undefined && inputs.some((t) => t.needsGrad);
    let offset = 0;
    const outputs = op.infer(inputs, attrs).map((spec, i, all) => {
      const from = op.updates?.[i], storage = from === undefined ? undefined : inputs[from]!;
      const name = all.length > 1 ? `${op.name}.${i}` : op.name;
      const stretch = op.splits && { storage: inputs[0]!, offset };
      offset += count(spec.shape);
      return storage
        ? this.#tensor(name, spec, storage.home, { needsGrad: false, storage })
        : this.#tensor(name, spec, "value", { needsGrad, ...stretch });
    });
    this.nodes.push({ op, inputs, outputs, attrs } as Node<unknown> as Node);
    return outputs;
  }

  /**
   * Marks `body` as one block, in the scope `name` ("" opens none): `backward` may keep only its result
   * and compute the rest again.
   */
  block<T>(name: string, body: () => T): T {
    const outer = this.#open, start = this.nodes.length;
    const inside: Block[] = this.#open = [];
    const result = name === "" ? body() : this.scope(name, body);
    this.#open = outer;
    outer.push({ start, end: this.nodes.length, inside });
    return result;
  }
}
