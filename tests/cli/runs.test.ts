// Run folders from the command line. The folders are written by the same code as in training, without one.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFolder } from "../../src/base/lock.ts";
import { RunFolder } from "../../src/report/folder.ts";
import type { Manifest } from "../../src/report/record.ts";
import { start, whet } from "./run.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "whet runs ü-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

function manifest(name: string, day: number, settings: object): Manifest {
  return {
    format: 1,
    kind: "sft",
    name,
    status: "running",
    started: `2026-01-0${day}T00:00:00.000Z`,
    whet: { version: "0.1.0", commit: "abc" },
    device: { adapter: "A GPU" },
    settings: { lr: 2e-4, rank: 8, target: ["q_proj"], seed: 42, ...settings },
    model: { path: "./models/micro", type: "llama", parameters: 1000, trainable: 10, sha256: "aa" },
    data: { path: "rows.jsonl", rows: 12, sha256: "bb" },
    steps: 4,
  };
}

async function made(
  path: string,
  losses: readonly number[],
  end: Partial<Manifest> | undefined,
  settings: object = {},
  day = 1,
) {
  const run = await RunFolder.open(at(path), manifest(path.split("/").at(-1)!, day, settings));
  run.event("start", { settings: {}, steps: 4 });
  losses.forEach((loss, i) => {
    run.event("step", {
      step: i + 1,
      epoch: i,
      loss,
      lr: 1e-4,
      grad_norm: 1,
      tok_s: 9,
      mem_bytes: 1e6,
      ms: 1,
    });
    run.event("eval", {
      step: i + 1,
      epoch: i,
      val_loss: loss + 0.1,
      ppl: Math.exp(loss + 0.1),
      ms: 1,
    });
  });
  if (end) await run.finish(end);
  return run;
}
const weights = (sha256: string) => ({ path: "x", sha256: sha256.repeat(64), bytes: 5 });
type Row = Record<string, unknown>;
const list = async (...argv: string[]): Promise<Row[]> => {
  const { code, out, err } = await whet(["runs", "ls", "--json", ...argv], folder);
  expect({ code, err: code ? err : "" }).toEqual({ code: 0, err: "" });
  return JSON.parse(out).runs;
};

beforeAll(async () => {
  const done = { status: "finished", seconds: 65 } as const;
  await made("runs/first", [3, 2, 2.5, 2.2], { ...done, adapter: weights("a") });
  await made("runs/deep/er/second", [3, 1], { ...done, status: "early", adapter: weights("b") }, {
    rank: 16,
  }, 2);
  await made("failed", [3, NaN], { status: "failed", error: "diverged" }, {}, 3);
  await made("killed", [3], undefined, {}, 4);
  mkdirSync(at("other/node_modules/x"), { recursive: true });
  cpSync(at("runs/first"), at("other/node_modules/x"), { recursive: true });
  // Damage of every kind: not JSON, empty, null, another program's, another format, no manifest at all.
  const damaged = ["{", "", "null", '{"name":"npm"}', '{"format":9}', '{"format":1,"kind":"sft"}'];
  damaged.forEach((text, i) => {
    mkdirSync(at(`damaged/${i}`), { recursive: true });
    writeFileSync(at(`damaged/${i}/run.json`), text);
  });
  // A log that training began, its manifest gone; and a log of somebody else.
  mkdirSync(at("damaged/log"));
  writeFileSync(at("damaged/log/metrics.jsonl"), '{"event":"start","v":1,"settings":{}}\nnull\n{');
  mkdirSync(at("damaged/theirs"));
  writeFileSync(at("damaged/theirs/metrics.jsonl"), "\u0000\nnull\n{");
});

describe("ls", () => {
  test("every run below a folder, newest first, and what is wrong with the others", async () => {
    const runs = await list();
    const good = runs.filter(({ status }) => status !== "damaged");
    expect(good.map(({ path, status }) => [path, status])).toEqual([
      ["killed", "killed"],
      ["failed", "failed"],
      ["runs/deep/er/second", "early"],
      ["runs/first", "finished"],
    ]);
    // Not null and not another program's.
    expect(runs).toHaveLength(4 + 5);
    for (const { status, problem } of runs.slice(4)) {
      expect([status, typeof problem]).toEqual(["damaged", "string"]);
    }
    expect(good.at(-1)).toMatchObject({
      name: "first",
      kind: "sft",
      model: "micro",
      step: 4,
      steps: 4,
      val_loss: 2.3000000000000003,
      best: 2.1,
      best_step: 2,
      seconds: 65,
      tags: [],
    });
    expect(good.at(-1)!.bytes).toBeGreaterThan(5000);
  });

  test("a table, sorted and filtered", async () => {
    const { out, err } = await whet(["runs", "ls", "runs", "--sort", "best"], folder);
    const lines = out.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^run +kind +model +status +steps +val loss +best +time +size +tags$/);
    expect(lines[1]).toMatch(
      /^runs\/deep\/er\/second +sft +micro +early +2\/4 +1.1 +1.1 +1 min 05 s/,
    );
    expect(lines[2]).toMatch(/^runs\/first +sft +micro +finished +4 +2.3 +2.1 /);
    expect(err).toBe("2 runs\n");
    const names = (rows: Row[]) => rows.map(({ name }) => name);
    expect(names(await list("runs", "--sort", "best", "--reverse"))).toEqual(["first", "second"]);
    expect(names(await list("--filter", "status=failed"))).toEqual(["failed"]);
    expect(names(await list("--filter", "name=SEC,model=mic"))).toEqual(["second"]);
    expect(names(await list("--sort", "val_loss")).slice(0, 3)).toEqual([
      "second",
      "first",
      "killed",
    ]);
  });

  test("nothing to list, and bad input", async () => {
    mkdirSync(at("empty"));
    const none = await whet(["runs", "ls", "empty"], folder);
    expect([none.code, none.out]).toEqual([0, ""]);
    expect(none.err).toContain("no runs below empty");
    const cases: [string[], string][] = [
      [["nowhere"], "there is no folder nowhere"],
      [["--sort", "bset"], "did you mean --sort best?"],
      [["--filter", "colour=red"], "--filter"],
    ];
    for (const [argv, text] of cases) {
      const { code, err } = await whet(["runs", "ls", ...argv], folder);
      expect([code, err]).toEqual([2, err]);
      expect(err).toContain(text);
    }
  });
});

describe("show", () => {
  test("everything of one, by path or name", async () => {
    const { out } = await whet(["runs", "show", "runs/first"], folder);
    for (const text of ["first  finished", "weights sha256  " + "a".repeat(64), "A GPU", "rank"]) {
      expect(out).toContain(text);
    }
    expect(out).toMatch(/\n +2 +1 +2.1 +8.166 +best\n/);
    const { out: json } = await whet(["runs", "show", "second", "--json"], folder);
    expect(JSON.parse(json)).toMatchObject({
      path: "runs/deep/er/second",
      manifest: { kind: "sft" },
    });
  });

  test("bad input", async () => {
    const cases: [string, number, string][] = [
      ["frist", 2, "did you mean first?"],
      ["damaged/0", 3, "the run in damaged/0 is damaged"],
      ["..", 2, "there is no run .."],
    ];
    for (const [run, exit, text] of cases) {
      const { code, err } = await whet(["runs", "show", run], folder);
      expect([code, err]).toEqual([exit, err]);
      expect(err).toContain(text);
    }
  });
});

test("compare: what differs, measures, a page of curves, the best", async () => {
  const { code, out } = await whet(["runs", "compare", "first", "second", "-o", "c.html"], folder);
  expect(code).toBe(0);
  expect(out).toMatch(/rank +8 +16\n/);
  expect(out).not.toContain("seed");
  expect(out).toMatch(/best val loss +2.1 +1.1\n/);
  expect(out).toContain("best: runs/deep/er/second");
  const page = readFileSync(at("c.html"), "utf8");
  expect(page).toStartWith("<!doctype html>");
  expect(page).toContain("rank");
  const { out: json } = await whet(["runs", "compare", "first", "second", "--json"], folder);
  expect(JSON.parse(json)).toMatchObject({
    differences: { rank: ["8", "16"] },
    best: "runs/deep/er/second",
    runs: [{ path: "runs/first", best_val_loss: 2.1 }, { path: "runs/deep/er/second" }],
  });
  const one = await whet(["runs", "compare", "first"], folder);
  expect(one.code).toBe(2);
  expect(one.err).toContain("at least two");
  const none = await whet(["runs", "compare"], folder);
  expect(none.err).toContain("missing: RUN");
});

describe("tag", () => {
  const tag = (...argv: string[]) => whet(["runs", "tag", ...argv], folder);

  test("versions count up, move only when told to, and stand in the card", async () => {
    expect((await tag("first")).out).toBe("runs/first is first:v1.0\n");
    expect((await tag("second", "first:v1.1")).out).toContain("second is first:v1.1");
    expect((await tag("first")).out).toBe("runs/first is first:v1.2\n");
    expect((await tag("first", "candidate")).code).toBe(0);
    const shown = async (run: string) =>
      JSON.parse((await whet(["runs", "show", run, "--json"], folder)).out).path;
    expect(await shown("first:v1.1")).toBe("runs/deep/er/second");
    expect(await shown("candidate")).toBe("runs/first");
    expect(readFileSync(at("runs/first/README.md"), "utf8")).toContain("first:v1.2");

    const taken = await tag("second", "first:v1.0");
    expect(taken.code).toBe(2);
    expect(taken.err).toContain("first:v1.0 is runs/first.");
    expect(taken.err).toContain("add -y");
    expect((await tag("second", "first:v1.0", "-y")).code).toBe(0);
    expect(await shown("first:v1.0")).toBe("runs/deep/er/second");
    expect(readFileSync(at("runs/first/README.md"), "utf8")).not.toContain("first:v1.0");

    expect((await tag("first", "candidate", "--remove")).code).toBe(0);
    const [first] = await list("--filter", "name=first");
    expect(first!.tags).toEqual(["first:v1.2"]);
  });

  test("weights that changed since are told", async () => {
    const file = at("runs/first/tags.json");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("a".repeat(64), "c".repeat(64)));
    expect((await whet(["runs", "show", "first"], folder)).out).toContain("weights changed since");
  });

  test("bad input", async () => {
    const cases: [string[], string][] = [
      [["first", "a:b"], "a:b is no tag"],
      [["failed", "v1.0"], "has no weights to be failed:v1.0"],
      [["first", "absent", "--remove"], "runs/first has no tag absent"],
      [["first", "--remove"], "no tag was named"],
    ];
    for (const [argv, text] of cases) {
      const { code, err } = await tag(...argv);
      expect([code, err]).toEqual([2, err]);
      expect(err).toContain(text);
    }
  });
});

describe("watch", () => {
  test("follows a run of another process to its end", async () => {
    const path = at("live");
    let lock: Disposable | undefined = await lockFolder(path);
    const run = await made("live", [3, 2], undefined);
    const child = start(["runs", "watch", "live"], folder);
    child.stdin.end();
    let err = "";
    const reading = (async () => {
      for await (const chunk of child.stderr) err += new TextDecoder().decode(chunk);
    })();
    while (!err.includes("step 2/4")) await Bun.sleep(20);
    expect(err).not.toContain("step 1/4");
    run.event("step", {
      step: 3,
      epoch: 3,
      loss: 1,
      lr: 1e-4,
      grad_norm: 1,
      tok_s: 9,
      mem_bytes: 1,
      ms: 1,
    });
    while (!err.includes("step 3/4")) await Bun.sleep(20);
    expect((await list("--filter", "name=live"))[0]!.status).toBe("running");
    run.event("end", { status: "finished" });
    await run.finish({ status: "finished", seconds: 3, best: { step: 2, val_loss: 2.1 } });
    lock[Symbol.dispose]();
    lock = undefined;
    const [out, code] = await Promise.all([
      new Response(child.stdout).text(),
      child.exited,
      reading,
    ]);
    expect(code).toBe(0);
    expect(out).toBe("finished: 3 of 4 steps in 3.0 s, best val loss 2.1000 at step 2\n");
  });

  test("a run that failed or was killed: exit 11; --json has every event", async () => {
    const killed = await whet(["runs", "watch", "killed", "--json"], folder);
    expect(killed.code).toBe(11);
    const events = killed.out.trim().split("\n").map((line) => JSON.parse(line).event);
    expect(events).toEqual(["start", "step", "eval", "error"]);
    const failed = await whet(["runs", "watch", "failed"], folder);
    expect([failed.code, failed.err.includes("why: diverged")]).toEqual([11, true]);
  });

  test("Ctrl-C stops looking", async () => {
    using _lock = await lockFolder(at("endless"));
    await made("endless", [3], undefined);
    const child = start(["runs", "watch", "endless"], folder);
    child.stdin.end();
    for await (const chunk of child.stderr) {
      if (new TextDecoder().decode(chunk).includes("step 1/4")) break;
    }
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });
});

describe("rm", () => {
  const rm = (...argv: string[]) => whet(["runs", "rm", ...argv], folder);

  test("asks first, and where nobody can be asked, does nothing", async () => {
    await made("gone", [3], { status: "finished" });
    const { code, err } = await rm("gone");
    expect(code).toBe(2);
    expect(err).toContain("add -y");
    expect(existsSync(at("gone/run.json"))).toBe(true);
    expect((await rm("gone", "-y")).out).toBe("removed gone\n");
    expect(existsSync(at("gone"))).toBe(false);
  });

  test("never a run that is being trained, nor what is no run", async () => {
    await made("busy", [3], undefined);
    using _lock = await lockFolder(at("busy"));
    await made("mixed", [3], { status: "finished" });
    writeFileSync(at("mixed/thesis.txt"), "years of work");
    mkdirSync(at("plain"));
    symlinkSync(at("runs/first"), at("link"));
    const cases: [string, number, string][] = [
      ["busy", 12, "busy is being trained"],
      ["mixed", 2, "1 file that training did not write"],
      ["plain", 2, "plain is no run"],
      ["damaged/3", 2, "damaged/3 is no run"],
      ["damaged/theirs", 2, "damaged/theirs is no run"],
      ["link", 2, "link is a link"],
      ["nowhere", 2, "there is no run nowhere"],
      [".", 2, ". is no run"],
    ];
    for (const [run, exit, text] of cases) {
      const { code, err } = await rm("runs/first", run, "-y");
      expect([code, err]).toEqual([exit, err]);
      expect(err).toContain(text);
    }
    for (const path of ["busy", "mixed/thesis.txt", "plain", "runs/first/run.json"]) {
      expect(existsSync(at(path))).toBe(true);
    }
    const inside = await whet(["runs", "rm", ".", "-y"], at("runs/first"));
    expect(inside.err).toContain("holds the folder you are in");
    expect((await rm("mixed", "--all", "-y")).code).toBe(0);
    expect(existsSync(at("mixed"))).toBe(false);
  });

  test("a damaged run that training began may go", async () => {
    await made("torn", [3], undefined);
    writeFileSync(at("torn/run.json"), "{");
    expect((await rm("torn", "-y")).code).toBe(0);
    expect(existsSync(at("torn"))).toBe(false);
  });
});
