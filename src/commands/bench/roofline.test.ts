import { expect, test } from "bun:test";
import { Fail } from "../../base/fail.ts";
import { bound, matchRoofline, namedRoofline } from "./roofline.ts";

test("adapters are known by the names that drivers give them", () => {
  const name = (adapter: string) => matchRoofline(adapter)?.name;
  expect(name("NVIDIA GeForce RTX 4090")).toBe("RTX 4090");
  expect(name("AMD Radeon RX 7900 XTX (RADV NAVI31)")).toBe("RX 7900 XTX");
  expect(name("Intel(R) Arc(TM) A770 Graphics (DG2)")).toBe("Arc A770");
  expect(name("Apple M2 Max")).toBe("M2 Max");
  expect(name("NVIDIA H100 80GB HBM3")).toBe("H100");
  expect(name("NVIDIA A100-SXM4-80GB")).toBe("A100 80GB");
});

test("a device that is only like a known one has other peaks", () => {
  for (
    const other of [
      "NVIDIA GeForce RTX 4090 Laptop GPU",
      "NVIDIA GeForce RTX 4070 Ti SUPER",
      "NVIDIA H100 PCIe",
      "Apple M2 Ultra",
      "llvmpipe (LLVM 15.0.6, 256 bits)",
    ]
  ) expect(matchRoofline(other)).toBeUndefined();
});

test("an unknown name is refused with the known ones", () => {
  // As their makers round them, in TFLOP/s.
  expect(namedRoofline("m4 max").flops / 1e12).toBeCloseTo(16.2, 1);
  expect(namedRoofline("RTX 4090").flops / 1e12).toBeCloseTo(82.6, 1);
  expect(namedRoofline("RTX 4090").matrixFlops! / 1e12).toBeCloseTo(165.2, 1);
  expect(namedRoofline("RTX 3090").matrixFlops! / 1e12).toBeCloseTo(71, 0);
  try {
    namedRoofline("RTX 409");
    throw new Error("accepted");
  } catch (error) {
    expect(error).toBeInstanceOf(Fail);
    expect((error as Fail).exit).toBe(2);
    expect((error as Fail).why).toContain('did you mean "RTX 4090"?');
  }
});

test("the bound is arithmetic or memory, whichever takes longer", () => {
  const roof = { name: "x", flops: 100, matrixFlops: 400, bandwidth: 10, source: "" };
  expect(bound(roof, 1000, 10)).toBe(10);
  expect(bound(roof, 1000, 10, true)).toBe(2.5);
  expect(bound(roof, 1000, 200, true)).toBe(20);
  expect(bound({ ...roof, matrixFlops: undefined }, 1000, 10, true)).toBe(10);
});
