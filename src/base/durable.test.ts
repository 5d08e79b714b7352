import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Disk, disk, isDiskFull } from "./disk.ts";
import { openLog, writeFile } from "./durable.ts";
import { Exit, Fail } from "./fail.ts";
import {
  latestFolder,
  listFolders,
  readFolder,
  removeFolder,
  sweepFolder,
  writeFolder,
} from "./folder.ts";
import { lockFolder } from "./lock.ts";
import { sha256, sha256File } from "./sha256.ts";

const real = { ...disk };
let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "durable-"));
});
afterEach(() => {
  Object.assign(disk, real);
  fs.rmSync(dir, { recursive: true, force: true });
});

const system = (code: string) => Object.assign(new Error(`${code}: injected`), { code });

type Call = readonly [name: keyof Disk, argument: string];
/** Calls `before` ahead of every disk call, and remembers the calls with what they were about. */
function intercept(before: (name: keyof Disk, n: number) => void): Call[] {
  const calls: Call[] = [];
  const names = new Map<number, string>();
  for (const name of Object.keys(real) as (keyof Disk)[]) {
    const original = real[name] as (...args: unknown[]) => unknown;
    const replaced = (...args: unknown[]) => {
      const first = args[0];
      calls.push([name, typeof first === "number" ? names.get(first) ?? "?" : String(first)]);
      const sync = name === "append" || name === "truncate";
      try {
        before(name, calls.length);
      } catch (error) {
        if (sync) throw error;
        return Promise.reject(error);
      }
      const result = original(...args);
      if (name === "open") {
        return (result as Promise<number>).then((fd) => (names.set(fd, String(first)), fd));
      }
      return result;
    };
    Object.assign(disk, { [name]: replaced });
  }
  return calls;
}

async function failure(promise: Promise<unknown>): Promise<Fail> {
  const error = await promise.then(() => undefined, (e: unknown) => e);
  expect(error).toBeInstanceOf(Fail);
  return error as Fail;
}

describe("writeFile", () => {
  test("writes text, bytes, and pieces as they come, and says what it wrote", async () => {
    const path = join(dir, "new", "deeper", "a.bin");
    await writeFile(path, "héllo");
    expect(fs.readFileSync(path, "utf8")).toBe("héllo");
    const written = await writeFile(
      path,
      (async function* () {
        yield Uint8Array.of(1, 2);
        yield "x";
        yield new Uint8Array(0);
      })(),
    );
    expect([...fs.readFileSync(path)]).toEqual([1, 2, 120]);
    expect(written).toEqual({ size: 3, sha256: sha256(Uint8Array.of(1, 2, 120)) });
    expect(await sha256File(path)).toEqual(written);
    expect(fs.readdirSync(join(dir, "new", "deeper"))).toEqual(["a.bin"]);
  });

  test("syncs the file before the rename and the folder after it", async () => {
    const calls = intercept(() => {});
    await writeFile(join(dir, "a"), "text");
    const short = calls.map(([name, about]) => `${name} ${basename(about).slice(0, 5)}`);
    const folder = basename(dir).slice(0, 5);
    expect(short).toEqual([
      "open .tmp-",
      "write .tmp-",
      "fsync .tmp-",
      "close .tmp-",
      "rename .tmp-",
      `open ${folder}`,
      `fsync ${folder}`,
      `close ${folder}`,
    ]);
  });

  test("short writes are continued", async () => {
    const data = crypto.getRandomValues(new Uint8Array(1000));
    let n = 0;
    disk.write = (fd, bytes) => real.write(fd, bytes.subarray(0, 1 + (n++ * 7) % 13));
    await writeFile(join(dir, "a"), data);
    expect(fs.readFileSync(join(dir, "a")).equals(data)).toBe(true);
    expect(n).toBeGreaterThan(100);
  });

  test("no single write is larger than 64 MiB", async () => {
    const sizes: number[] = [];
    disk.write = (_, bytes) => (sizes.push(bytes.length), Promise.resolve(bytes.length));
    await writeFile(join(dir, "a"), new Uint8Array(150 * 2 ** 20));
    expect(sizes.map((s) => s / 2 ** 20)).toEqual([64, 64, 22]);
  });

  test("any failing call leaves old or new content, no leftovers, and a clear error", async () => {
    const path = join(dir, "a");
    for (const code of ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EMFILE"]) {
      for (let at = 1;; at++) {
        Object.assign(disk, real);
        fs.writeFileSync(path, "old");
        const calls = intercept((_, n) => {
          if (n === at) throw system(code);
        });
        const error = await writeFile(path, "new").then(() => undefined, (e: unknown) => e);
        if (calls.length < at) {
          expect(error).toBeUndefined();
          expect(at).toBe(9);
          break;
        }
        expect(error).toBeInstanceOf(Fail);
        const fail = error as Fail;
        expect([fail.exit, fail.message]).toEqual([Exit.disk, `could not write ${path}`]);
        expect(fail.why).toBeTruthy();
        expect(fail.fix).toBeTruthy();
        expect(isDiskFull(fail)).toBe(code === "ENOSPC" || code === "EDQUOT");
        const renamed = calls.some(([name]) => name === "rename") && at > 5;
        expect(fs.readFileSync(path, "utf8")).toBe(renamed ? "new" : "old");
        expect(fs.readdirSync(dir)).toEqual(["a"]);
        expect(calls.filter(([name]) => name === "fsync").length).toBeLessThanOrEqual(2);
      }
    }
  });

  test("after a crash at any call the old or the new content is there", async () => {
    const path = join(dir, "a");
    for (let at = 1; at <= 8; at++) {
      Object.assign(disk, real);
      fs.writeFileSync(path, "old");
      intercept((_, n) => {
        if (n >= at) throw new Error("the machine is off");
      });
      await writeFile(path, "new").catch(() => {});
      expect(fs.readFileSync(path, "utf8")).toBe(at <= 5 ? "old" : "new");
      Object.assign(disk, real);
      await sweepFolder(dir);
      expect(fs.readdirSync(dir)).toEqual(["a"]);
    }
  });

  test("an error of the content passes through and leaves nothing", async () => {
    const broken = (function* () {
      yield "half";
      throw new TypeError("mine");
    })();
    expect(writeFile(join(dir, "a"), broken)).rejects.toThrow(new TypeError("mine"));
    await Bun.sleep(5);
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  test("a file in the way of a folder, and a folder in the way of a file", async () => {
    fs.writeFileSync(join(dir, "f"), "");
    expect((await failure(writeFile(join(dir, "f", "a"), ""))).why).toContain("not a folder");
    fs.mkdirSync(join(dir, "d"));
    expect((await failure(writeFile(join(dir, "d"), ""))).exit).toBe(Exit.disk);
    expect(fs.readdirSync(dir).sort()).toEqual(["d", "f"]);
  });
});

describe("openLog", () => {
  test("appends lines and cuts a torn last one", async () => {
    const path = join(dir, "logs", "m.jsonl");
    const log = await openLog(path);
    log.append("{}");
    log.append("é".repeat(100_000));
    await log.close();
    fs.appendFileSync(path, '{"torn":');
    const again = await openLog(path);
    again.append("last");
    expect(() => again.append("a\nb")).toThrow(TypeError);
    await again.close();
    expect(fs.readFileSync(path, "utf8")).toBe(`{}\n${"é".repeat(100_000)}\nlast\n`);
  });

  test("a file that is one torn line becomes empty", async () => {
    const path = join(dir, "m");
    fs.writeFileSync(path, "x".repeat(200_000));
    await (await openLog(path)).close();
    expect(fs.statSync(path).size).toBe(0);
  });

  test("on a full disk lines are lost whole and counted", async () => {
    const path = join(dir, "m");
    const log = await openLog(path);
    log.append("one");
    let room = 2;
    disk.append = (fd, bytes) => {
      if (room === 0) throw system("ENOSPC");
      return real.append(fd, bytes.subarray(0, room--));
    };
    log.append("two");
    log.append("three");
    Object.assign(disk, real);
    log.append("four");
    expect(log.lost).toBe(2);
    await log.close();
    expect(fs.readFileSync(path, "utf8")).toBe("one\nfour\n");
  });
});

describe("writeFolder", () => {
  const save = (path: string, text = "weights", meta: unknown = { step: 1 }) =>
    writeFolder(path, async (put) => {
      await put("a.bin", text);
      await put("b.bin", [Uint8Array.of(1), Uint8Array.of(2)]);
      return meta;
    });

  test("round trip, and the same input gives the same bytes", async () => {
    const written = await save(join(dir, "c", "step-1"));
    const read = await readFolder(join(dir, "c", "step-1"));
    expect(read).toEqual(written);
    expect(read.meta).toEqual({ step: 1 });
    expect(read.files.get("b.bin")).toEqual({ size: 2, sha256: sha256(Uint8Array.of(1, 2)) });
    await save(join(dir, "c", "step-2"));
    for (const name of ["a.bin", "manifest.json"]) {
      const [one, two] = [1, 2].map((n) => fs.readFileSync(join(dir, "c", `step-${n}`, name)));
      expect(one!.equals(two!)).toBe(true);
    }
  });

  test("every byte matters: each flip in each file is seen", async () => {
    const path = join(dir, "step-1");
    await save(path);
    for (const name of ["a.bin", "b.bin", "manifest.json"]) {
      const bytes = fs.readFileSync(join(path, name));
      for (let i = 0; i < bytes.length; i++) {
        const changed = Buffer.from(bytes);
        changed[i]! ^= 1 << (i % 8);
        fs.writeFileSync(join(path, name), changed);
        const result = await readFolder(path).then(
          (folder) => JSON.stringify([folder.meta, [...folder.files]]),
          (error: unknown) => error,
        );
        // A flipped space or newline at the manifest's end changes nothing that is read.
        if (typeof result === "string") expect(name).toBe("manifest.json");
        else expect(result).toBeInstanceOf(Fail);
        if (typeof result === "string") expect(result).toContain('{"step":1}');
      }
      fs.writeFileSync(join(path, name), bytes);
    }
    await readFolder(path);
  });

  test("missing, cut, replaced files and a newer format are refused by name", async () => {
    const path = join(dir, "step-1");
    await save(path);
    fs.truncateSync(join(path, "a.bin"), 3);
    expect((await failure(readFolder(path))).message).toContain("a.bin has 3 bytes, expected 7");
    fs.rmSync(join(path, "a.bin"));
    expect((await failure(readFolder(path))).message).toContain("a.bin is missing");
    fs.mkdirSync(join(path, "a.bin"));
    expect((await failure(readFolder(path))).message).toContain("a.bin cannot be read");
    for (
      const [body, what] of [
        ['{"format":2,"meta":null,"files":{}}', "format 2"],
        ['{"format":1,"meta":null,"files":{"../x":{"size":0,"sha256":""}}}', "no plain file name"],
      ] as const
    ) {
      const manifest = `{"sha256":"${sha256(body)}","body":${body}}\n`;
      fs.writeFileSync(join(path, "manifest.json"), manifest);
      expect((await failure(readFolder(path))).message).toContain(what);
    }
    for (const text of ["", "null", "[]", "{}", '{"sha256":1,"body":2}', '{"body":{}}']) {
      fs.writeFileSync(join(path, "manifest.json"), text);
      expect((await failure(readFolder(path))).message).toContain("manifest.json");
    }
  });

  test("refuses bad names, double names and an existing target, leaving nothing", async () => {
    for (const name of ["../a", "/a", "", ".hidden", "manifest.json", "a/b", "a\0b"]) {
      const writing = writeFolder(join(dir, "x"), (put) => put(name, ""));
      expect(await writing.then(() => "", String)).toContain("no plain file name");
    }
    const twice = writeFolder(join(dir, "x"), (put) => put("a", "").then(() => put("a", "")));
    expect(await twice.then(() => "", String)).toContain("is taken");
    expect(fs.readdirSync(dir)).toEqual([]);
    fs.mkdirSync(join(dir, "x"));
    expect((await failure(save(join(dir, "x")))).why).toContain("exists already");
    expect(fs.readdirSync(dir)).toEqual(["x"]);
  });

  test("a crash or error at any call: the folder is whole or not there", async () => {
    let total = Infinity;
    for (const cleanup of [true, false]) {
      for (let at = 1; at <= total; at++) {
        Object.assign(disk, real);
        const path = join(dir, `step-${at}`);
        const calls = intercept((_, n) => {
          if (cleanup ? n === at : n >= at) throw system("EIO");
        });
        await save(path).catch(() => {});
        if (calls.length < at) total = at - 1;
        Object.assign(disk, real);
        if (fs.existsSync(path)) await readFolder(path);
        const left = await sweepFolder(dir);
        if (cleanup) expect(left).toEqual([]);
        for (const name of fs.readdirSync(dir)) fs.rmSync(join(dir, name), { recursive: true });
      }
    }
    expect(total).toBeGreaterThan(15);
  });

  test("latest is the highest number that is valid", async () => {
    const warnings: string[] = [];
    const latest = async () =>
      basename((await latestFolder(dir, "step", (m) => warnings.push(m)))!.path);
    await save(join(dir, "step-9"));
    await save(join(dir, "step-10"));
    await save(join(dir, "step-10-2"));
    await save(join(dir, "other-99"));
    fs.mkdirSync(join(dir, "step-11"));
    fs.mkdirSync(join(dir, ".tmp-12"));
    expect(await latest()).toBe("step-10-2");
    expect(warnings).toEqual([`passed over ${join(dir, "step-11")}: manifest.json is missing`]);
    fs.writeFileSync(join(dir, "step-10-2", "a.bin"), "");
    expect(await latest()).toBe("step-10");
    await removeFolder(join(dir, "step-10"));
    expect(await latest()).toBe("step-9");
    expect(listFolders(dir, "step").map((f) => f.number)).toEqual([11, 10, 9]);
    expect(await latestFolder(join(dir, "none"), "step", () => {})).toBeUndefined();
  });

  test("removal interrupted anywhere: the folder is whole or gone", async () => {
    for (let at = 1; at <= 5; at++) {
      Object.assign(disk, real);
      const path = join(dir, "step-1");
      if (!fs.existsSync(path)) await save(path);
      intercept((_, n) => {
        if (n >= at) throw system("EIO");
      });
      const gone = await removeFolder(path).then(() => true, () => false);
      Object.assign(disk, real);
      expect(gone).toBe(false);
      if (fs.existsSync(path)) await readFolder(path);
      await sweepFolder(dir);
    }
    expect(fs.readdirSync(dir)).toEqual([]);
  });
});

describe("lockFolder", () => {
  const script = `
    const { lockFolder } = await import(${JSON.stringify(join(import.meta.dir, "lock.ts"))});
    const lock = await lockFolder(process.argv[1]);
    console.log("held");
    setInterval(() => lock, 1000);`;

  test("a second process is refused and told of the first; kill -9 frees it at once", async () => {
    const first = Bun.spawn(["bun", "-e", script, dir], { stdout: "pipe" });
    await first.stdout.getReader().read();
    const refused = await failure(lockFolder(dir));
    expect(refused.message).toContain(`process ${first.pid} on `);
    expect(refused.exit).toBe(Exit.disk);
    first.kill("SIGSTOP");
    await failure(lockFolder(dir));
    first.kill("SIGKILL");
    await first.exited;
    using _lock = await lockFolder(dir);
    expect((await failure(lockFolder(dir))).message).toContain(`process ${process.pid}`);
  });

  test("is free again after disposal, and says when the folder cannot be used", async () => {
    for (let i = 0; i < 3; i++) (await lockFolder(join(dir, "new")))[Symbol.dispose]();
    fs.writeFileSync(join(dir, "file"), "");
    expect((await failure(lockFolder(join(dir, "file", "x")))).exit).toBe(Exit.disk);
    fs.mkdirSync(join(dir, "bad", ".lock"), { recursive: true });
    expect((await failure(lockFolder(join(dir, "bad")))).message).toContain("could not lock");
  });
});
