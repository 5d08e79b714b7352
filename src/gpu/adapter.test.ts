import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { diagnose, listAdapters } from "./adapter.ts";
import { captureStderr } from "./stderr.ts";

describe("no adapter", () => {
  const loader =
    "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file";
  test("is explained from what the drivers say", () => {
    const why = (said: string) => diagnose(said, "linux", false).why;
    expect(why(loader)).toContain("libvulkan.so.1");
    expect(why("Warning: vkCreateInstance: Found no drivers!")).toContain("no driver");
    expect(why("Vulkan shaderUniform*ArrayDynamicIndexing required.")).toContain("too old");
    expect(why("something new\nand more")).toBe("something new");
    expect(diagnose(loader, "linux", true).fix).toContain("NVIDIA_DRIVER_CAPABILITIES");
    expect(diagnose("", "win32", false).fix).toContain("Visual C++");
    expect(diagnose("", "darwin", false).why).toContain("Metal");
  });

  test.skipIf(process.platform !== "linux")("ends with exit 4 and no noise", async () => {
    const script = `import { Device } from "${join(import.meta.dir, "device.ts")}";
      try { await Device.open(); } catch (e) { console.log(e.exit, e.message, e.why); }
      process.exit(0);`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: { ...process.env, VK_ICD_FILENAMES: "/none", VK_DRIVER_FILES: "/none" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const out = await new Response(child.stdout).text();
    expect(out).toStartWith("4 No GPU adapter was found");
    expect(await new Response(child.stderr).text()).toBe("");
  });
});

test("adapters are listed with their backend", async () => {
  const { listed } = await listAdapters();
  expect(listed.length).toBeGreaterThan(0);
  for (const { name, backend } of listed) {
    expect(name).not.toBe("");
    expect(["vulkan", "metal", "d3d12", "d3d11", "opengl", "opengles"]).toContain(backend);
  }
});

test.skipIf(process.platform !== "linux")("stderr is given back after a capture", () => {
  const script = `import { captureStderr } from "${join(import.meta.dir, "stderr.ts")}";
    import { writeSync } from "node:fs";
    const { text } = captureStderr(() => writeSync(2, "inside"));
    try { captureStderr(() => { throw 1; }); } catch {}
    writeSync(2, "after"); console.log(text);`;
  const child = Bun.spawnSync([process.execPath, "-e", script]);
  expect(child.stdout.toString()).toBe("inside\n");
  expect(child.stderr.toString()).toBe("after");
  expect(captureStderr(() => 7).value).toBe(7);
});
