import { type Arena, Memory, type Place } from "../graph/memory.ts";
import { storageOf, type Tensor } from "../graph/tensor.ts";

/**
 * Memory of a program that runs at the same time as others over the same weights: these are not stored
 * again, and everything else, such as states and values, is its own.
 */
export class Beside extends Memory {
  /**
   * @param under holds the weights; must not be freed before this
   * @param shared which of them: all, or the frozen ones, where this has an adapter of its own
   */
  constructor(readonly under: Memory, readonly shared: "frozen" | "all") {
    super(under.device);
  }

  override place(tensor: Tensor, arena?: Arena): Place {
    const { home } = storageOf(tensor);
    const there = home === "frozen" || (home === "trained" && this.shared === "all");
    return there ? this.under.place(tensor, arena) : super.place(tensor, arena);
  }
}
