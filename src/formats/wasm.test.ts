import { expect, test } from "bun:test";
import { f32, f32x4, i32, i32x4, repeatWhile, v128, wasmModule, when } from "./wasm.ts";

type Function = (...values: number[]) => void;

test("vectors, loops, branches and long constants do as they say", () => {
  const bytes = wasmModule({
    // memory[at] = Σ_{i < 1000} i · memory[at], only where it is below the limit
    sum: {
      parameters: ["i32", "f32"],
      body([at, limit], declare) {
        const { i } = declare("f32", "i");
        const { x, sum, small } = declare("v128", "x", "sum", "small");
        return [
          x.set(v128.load(at!, 128)),
          repeatWhile(
            f32.le(i, f32.const(999)),
            sum.set(f32x4.add(sum, f32x4.mul(x, f32x4.splat(i)))),
            i.set(f32.add(i, f32.const(1))),
          ),
          small.set(f32x4.lt(x, f32x4.splat(limit!))),
          when(v128.anyTrue(small), v128.store(at!, 128, v128.select(sum, x, small))),
        ].flat();
      },
    },
    integers: {
      parameters: ["i32"],
      body: ([at]) =>
        v128.store(
          at!,
          0,
          i32x4.sub(f32x4.toInteger(f32x4.nearest(v128.load(at!, 0))), i32x4.const(-100_000)),
        ),
    },
    moved: {
      parameters: ["i32"],
      body: ([at]) =>
        v128.store(i32.add(at!, i32.const(64)), 0, v128.load(i32.mul(at!, i32.const(2)), 0)),
    },
  });
  const { exports } = new WebAssembly.Instance(
    new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>),
  );
  const memory = (exports.memory as WebAssembly.Memory).buffer;
  const floats = new Float32Array(memory);
  floats.set([1, 2, 3, 4], 36);
  (exports.sum as Function)(16, 2.5);
  expect([...floats.slice(36, 40)]).toEqual([499500, 999000, 3, 4]);
  (exports.sum as Function)(16, 2.5);
  expect([...floats.slice(36, 40)]).toEqual([499500, 999000, 3, 4]);

  floats.set([0.5, 1.5, -2.5, NaN]);
  (exports.integers as Function)(0);
  expect([...new Int32Array(memory, 0, 4)]).toEqual([100_000, 100_002, 99_998, 100_000]);
  floats.set([7, 8], 64);
  (exports.moved as Function)(128);
  expect([...floats.slice(48, 50)]).toEqual([7, 8]);
});
