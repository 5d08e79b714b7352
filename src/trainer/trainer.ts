import { hyper, type HyperSettings, hyperSize } from "../../kernels/adamw/hyper.ts";
import { loadWeights, type Model } from "../architectures/model.ts";
import type { TokenRow } from "../architectures/packed.ts";
import { allFinite } from "../base/bits.ts";
import { Exit, Fail } from "../base/fail.ts";
import { kaimingUniform } from "../base/random.ts";
import type { Device } from "../gpu/device.ts";
import { rowNorm } from "../../kernels/dora/dora.ts";
import { Graph } from "../graph/graph.ts";
import { Memory } from "../graph/memory.ts";
import { Runner } from "../graph/runner.ts";
import { count, type Tensor } from "../graph/tensor.ts";
import { type Lora, loraScale } from "../nn/net.ts";
import { firstNotFinite } from "./blame.ts";
import type { BatchPlan } from "./layout.ts";
import { supervised } from "./objectives/sft.ts";
import {
  objectiveOf,
  rateGroup,
  type Recipe,
  type Recorded,
  type RecordedReference,
  type RecordedUpdate,
  recordReference,
  recordStep,
  recordUpdate,
  recordValidation,
} from "./program.ts";

export interface TrainerOptions extends HyperSettings {
  readonly seed: number;
  /** Learning rate of optimiser step `step`, counted from 0. */
  rate(step: number): number;
}

export interface StepResult {
  /** counted from 1 */
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** What the objective measures beside the loss. */
  readonly measures: Readonly<Record<string, number>>;
  /** Global L2 norm before clipping. */
  readonly gradNorm: number;
  readonly rate: number;
  readonly tokens: number;
  readonly milliseconds: number;
  /** False when loss or gradient was NaN or infinite: the weights were left as they were. */
  readonly applied: boolean;
  /** Activations of the forward pass that f16 could not hold: they were stored as ±65504. */
  readonly saturated: number;
}

/** One trained tensor in one step: what the step's gradient was, and what the update made of it. */
export interface Inspected {
  readonly name: string;
  readonly gradient: Float32Array;
  readonly before: Float32Array;
  readonly after: Float32Array;
}

/** What a checkpoint holds of one trained tensor. */
export interface Moments {
  readonly w: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** Training on a device: the recorded step and update, and the arenas they work on. */
export class Trainer {
  readonly memory: Memory;
  readonly trained: readonly Tensor[];
  readonly device: Device;
  /** Optimiser steps done. */
  step = 0;
  #recorded!: Recorded;
  #runner!: Runner;
  #update!: RecordedUpdate;
  #updater!: Runner;
  #validation: { recorded: Recorded; runner: Runner } | undefined;
  /** Log-probabilities of rows' answers that were computed once. */
  readonly #known = new Map<TokenRow, readonly [number, number]>();
  #reference: { recorded: RecordedReference; runner: Runner } | undefined;

  private constructor(
    device: Device,
    readonly model: Model,
    readonly recipe: Recipe,
    readonly rows: readonly TokenRow[],
    readonly plan: BatchPlan,
    readonly options: TrainerOptions,
    recorded: Recorded,
  ) {
    this.device = device;
    this.memory = new Memory(device);
    this.#recorded = recorded;
    this.trained = recorded.g.all("trained");
  }

  /**
   * Records the step, loads the weights and builds every pipeline.
   * @throws Fail (exit 2) when nothing is trained, (exit 5) when memory runs out
   */
  static async create(
    device: Device,
    model: Model,
    recipe: Recipe,
    rows: readonly TokenRow[],
    plan: BatchPlan,
    options: TrainerOptions,
    progress?: (done: number, total: number) => void,
  ): Promise<Trainer> {
    const recorded = recordStep(model, recipe);
    const t = new Trainer(device, model, recipe, rows, plan, options, recorded);
    if (t.trained.length === 0) {
      throw new Fail("nothing would be trained: no module matches the targets", {
        fix: `name some of ${model.architecture.linears.join(", ")} with --target`,
        exit: Exit.usage,
      });
    }
    const layout = t.memory.layOut(t.trained, rateGroup(recipe));
    await loadWeights(model, t.memory, recorded.g.all("frozen"), progress);
    if (recipe.full) await loadWeights(model, t.memory, t.trained, progress);
    else t.#initialise();
    t.#runner = await Runner.prepare("step", t.memory, recorded.g.nodes, [recorded.total]);
    if (recipe.lora?.dora) await t.#measureRows(recipe.lora);
    const reference = recordReference(model, recipe);
    if (reference) {
      const { nodes } = reference.g;
      const runner = await Runner.prepare("reference", t.memory, nodes, [reference.nll]);
      t.#reference = { recorded: reference, runner };
    }
    t.#update = recordUpdate(layout, hyperSize);
    t.#updater = await Runner.prepare("update", t.memory, t.#update.g.nodes, [t.#update.clip]);
    await device.done();
    return t;
  }

  /** PEFT's start: A uniform in ±1/sqrt(fan in) (Kaiming with a = √5), B zero, so that W is unchanged. */
  #initialise(): void {
    this.trained.forEach((t, i) => {
      if (!t.name.endsWith("lora_A.weight")) return;
      this.memory.write(t, kaimingUniform(this.options.seed, i, count(t.shape), t.shape[1]!));
    });
  }

  /** DoRA's start: the lengths of the rows as they are, so that nothing is changed yet. */
  async #measureRows(lora: Lora): Promise<void> {
    const frozen = new Map(this.#recorded.g.all("frozen").map((t) => [t.name, t]));
    const trained = new Map(this.trained.map((t) => [t.name, t]));
    for (const m of this.trained) {
      const [module, part] = m.name.split(/\.(?=lora_magnitude_vector$)/);
      if (part === undefined) continue;
      const g = new Graph(),
        own = (which: string) => trained.get(`${module}.lora_${which}.weight`)!;
      const norm = rowNorm(g, frozen.get(`${module}.weight`)!, own("A"), own("B"), loraScale(lora));
      const runner = await Runner.prepare("row lengths", this.memory, g.nodes, [norm]);
      await runner.run();
      this.memory.write(m, await runner.read(norm));
      runner.free();
    }
  }

  /** One micro-batch of the step as it runs, for whoever measures its ops. */
  get program(): Runner {
    return this.#runner;
  }

  /** Numbers trained, and numbers in all (the base model's and the adapter's). */
  get parameters(): { trainable: number; all: number } {
    const sum = (tensors: readonly Tensor[]) => tensors.reduce((n, t) => n + count(t.shape), 0);
    const trainable = sum(this.trained);
    return { trainable, all: trainable + sum(this.#recorded.g.all("frozen")) };
  }

  /** What rows weigh together: the loss of a step is the mean by these weights. */
  #weigh(rows: readonly TokenRow[]): number {
    const { weight } = objectiveOf(this.recipe);
    return rows.reduce((sum, row) => sum + weight(row), 0);
  }

  /** Log-probabilities of the rows' answers by the reference; zeros where none was computed. */
  #compared(rows: readonly TokenRow[]): Float32Array {
    return Float32Array.from(rows.flatMap((row) => this.#known.get(row) ?? [0, 0]));
  }

  async #logps(rows: readonly TokenRow[]): Promise<Float32Array> {
    const { recorded, runner } = this.#reference!;
    recorded.fill(runner, rows);
    await runner.run();
    return (await runner.read(recorded.nll)).map((nll) => -nll);
  }

  /**
   * The reference's log-probabilities of every row's answers, row by row in the order given. Rows that
   * lie in a batch together do so by their order, so that the same rows give the same bits.
   * @throws Error where the objective compares with nothing
   */
  async logps(
    rows: readonly TokenRow[],
    progress?: (done: number, of: number) => void,
  ): Promise<Float32Array> {
    const answers = 2, all = new Float32Array(answers * rows.length);
    for (let from = 0, next = 0; from < rows.length; from = next) {
      progress?.(from, rows.length);
      next = from + this.#fitting(rows, from);
      all.set(
        (await this.#logps(rows.slice(from, next))).subarray(0, answers * (next - from)),
        answers * from,
      );
    }
    this.device.check();
    return all;
  }

  /** How many rows from this one on fit together into a micro-batch; at least one. */
  #fitting(rows: readonly TokenRow[], from: number): number {
    const { tokens, targets, rows: most = Infinity, keys = Infinity } = this.recipe.size;
    let n = 0, places = 0, asked = 0, made = 0;
    for (const row of rows.slice(from)) {
      places += row.ids.length;
      asked += supervised(row);
      made += row.ids.length + (row.pair?.shared ?? 0);
      if (n > 0 && (places > tokens || asked > targets || made > keys || n === most)) break;
      n++;
    }
    return n;
  }

  /** From now on these rows are compared with these log-probabilities, in the form that `logps` gives. */
  compareWith(rows: readonly TokenRow[], logps: ArrayLike<number>): void {
    rows.forEach((row, i) => this.#known.set(row, [logps[2 * i]!, logps[2 * i + 1]!]));
  }

  /** The loss and what the objective measures beside it, by name. */
  #named([loss, ...more]: Float32Array) {
    const { logged } = objectiveOf(this.recipe);
    const measures: Record<string, number> = {};
    logged.forEach((name, i) => {
      if (name !== undefined) measures[name] = more[i]!;
    });
    return { loss: loss!, measures };
  }

  /** Adds the loss and the gradients of every micro-batch of a step to what the device holds. */
  async #accumulate(step: number): Promise<{ epoch: number; tokens: number }> {
    const { epoch, micro } = this.plan.at(step), { g, fill } = this.#recorded;
    const whole = micro.flat().map((row) => this.rows[row]!), all = this.#weigh(whole);
    let tokens = 0;
    for (const [m, indices] of micro.entries()) {
      const rows = indices.map((i) => this.rows[i]!);
      tokens += rows.reduce((sum, row) => sum + row.ids.length, 0);
      fill(this.#runner, rows, 1 / all, this.#compared(rows), whole);
      // A mask belongs to one micro-batch of one step, whatever is resumed or repeated.
      const clock = Uint32Array.of(this.options.seed, (step << 10) + m);
      this.#runner.write(clockOf(g), clock);
      await this.#runner.run();
    }
    return { epoch, tokens };
  }

  /**
   * One optimiser step: every micro-batch, then the update; resolves when the loss is known.
   * @param inspect is shown every trained tensor, one at a time; the weights before the update are held
   * on the host meanwhile. Not called for a step that is not applied.
   */
  async next(inspect?: (tensor: Inspected) => void): Promise<StepResult> {
    const began = performance.now(), { step, options } = this, { total } = this.#recorded;
    const { epoch, tokens } = await this.#accumulate(step);
    const rate = options.rate(step);
    const { loss, measures } = this.#named(await this.#runner.read(total));
    const saturated = await this.#saturated();
    let gradNorm = NaN, applied = false;
    // The gradient of a loss that is not finite can be finite, and must not be applied either.
    if (Number.isFinite(loss)) {
      const seen = inspect ? await this.#beforeUpdate() : [];
      this.memory.write(total.storage!, new Float32Array(count(total.shape)));
      this.#update.hyper.forEach((input, group) => {
        const own = group === 0 ? rate : rate * this.recipe.plus!;
        this.#updater.write(input, hyper(options, step + 1, own));
      });
      await this.#updater.run();
      const [, norm, finite] = await this.#updater.read(this.#update.clip);
      gradNorm = norm!;
      applied = finite === 1;
      for (const { tensor, gradient, before } of applied ? seen : []) {
        const after = await this.memory.read(tensor);
        inspect!({ name: tensor.name, gradient, before, after });
      }
    } else this.#forgetGradients();
    this.device.check();
    this.step++;
    return {
      step: this.step,
      epoch: epoch + (step % this.plan.stepsPerEpoch + 1) / this.plan.stepsPerEpoch,
      loss,
      measures,
      gradNorm,
      rate,
      tokens,
      milliseconds: performance.now() - began,
      applied,
      saturated,
    };
  }

  /** How many activations f16 could not hold since this was last asked. */
  async #saturated(): Promise<number> {
    const { saturated } = this.#recorded;
    if (!saturated) return 0;
    const [count] = await this.#runner.readU32(saturated);
    if (count !== 0) this.memory.write(saturated, new Uint32Array(1));
    return count!;
  }

  /** Gradients and weights as they are before an update. */
  async #beforeUpdate() {
    const all: { tensor: Tensor; gradient: Float32Array; before: Float32Array }[] = [];
    for (const tensor of this.trained) {
      const gradient = await this.memory.read(tensor, "g");
      all.push({ tensor, gradient, before: await this.memory.read(tensor) });
    }
    return all;
  }

  /** Makes what `validate` needs, so that a lack of memory shows at the start and not hours later. */
  async prepareValidation(): Promise<{ recorded: Recorded; runner: Runner }> {
    if (this.#validation) return this.#validation;
    const recorded = recordValidation(this.model, this.recipe), { nodes } = recorded.g;
    const runner = await Runner.prepare("validation", this.memory, nodes, [recorded.total]);
    return this.#validation = { recorded, runner };
  }

  /** Mean loss and measures over `rows`, with dropout off. */
  async validate(
    rows: readonly TokenRow[],
    micro: readonly (readonly number[])[],
  ): Promise<Pick<StepResult, "loss" | "measures">> {
    const { recorded: { fill, total }, runner } = await this.prepareValidation();
    const share = 1 / this.#weigh(rows);
    this.memory.write(total.storage!, new Float32Array(count(total.shape)));
    for (const indices of micro) {
      const some = indices.map((i) => rows[i]!);
      fill(runner, some, share, this.#compared(some), rows);
      await runner.run();
    }
    const known = this.#named(await runner.read(total));
    this.device.check();
    return known;
  }

  /** The trained tensors by name, as they are now. */
  async weights(): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    const all = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const t of this.trained) {
      all.set(t.name, { shape: t.shape, data: await this.memory.read(t) });
    }
    return all;
  }
  async moments(): Promise<Map<string, Moments>> {
    const all = new Map<string, Moments>();
    for (const t of this.trained) {
      const [w, m, v] = [
        await this.memory.read(t, "w"),
        await this.memory.read(t, "m"),
        await this.memory.read(t, "v"),
      ];
      all.set(t.name, { w, m, v });
    }
    return all;
  }
  /**
   * What made the step before not finite: the trained tensors that hold a NaN or an infinity; or else the
   * base weight that does, or the first value of the forward pass; or else the gradients.
   */
  async notFinite(): Promise<string[]> {
    const bad: string[] = [];
    for (const t of this.trained) if (!allFinite(await this.memory.read(t))) bad.push(t.name);
    if (bad.length > 0) return bad;
    const { micro } = this.plan.at(this.step - 1);
    const rows = micro.map((indices) => indices.map((i) => this.rows[i]!));
    const first = await firstNotFinite(this.model, this.recipe, this.memory, rows);
    if (first !== undefined) return [first];
    for (const [name, gradient] of await this.gradients(this.step - 1)) {
      if (!allFinite(gradient)) bad.push(`gradient of ${name}`);
    }
    return bad;
  }

  /** As the update leaves them: gradients and the sum of losses zero. */
  #forgetGradients(): void {
    for (const t of this.trained) this.memory.write(t, new Float32Array(count(t.shape)), "g");
    const { total } = this.#recorded;
    this.memory.write(total.storage!, new Float32Array(count(total.shape)));
  }

  /** Continues from a checkpoint: weights, moments, and the number of steps done. */
  restore(step: number, tensors: ReadonlyMap<string, Moments>): void {
    for (const t of this.trained) {
      const { w, m, v } = tensors.get(t.name)!;
      this.memory.write(t, w, "w");
      this.memory.write(t, m, "m");
      this.memory.write(t, v, "v");
    }
    this.step = step;
  }
  /** Starts from given weights with fresh moments: an adapter to go on with. */
  start(weights: ReadonlyMap<string, Float32Array>): void {
    for (const t of this.trained) this.memory.write(t, weights.get(t.name)!, "w");
  }
  /** The gradients of a step, by name, as it computes them; nothing is applied. */
  async gradients(step: number): Promise<Map<string, Float32Array>> {
    await this.#accumulate(step);
    const all = new Map<string, Float32Array>();
    for (const t of this.trained) all.set(t.name, await this.memory.read(t, "g"));
    this.#forgetGradients();
    return all;
  }

  /** Gives the device everything back. */
  free(): void {
    this.#runner.free();
    this.#updater.free();
    this.#validation?.runner.free();
    this.#reference?.runner.free();
    this.memory.free();
  }
}

const clockOf = (g: Recorded["g"]) => g.input("clock", [2], "u32");
