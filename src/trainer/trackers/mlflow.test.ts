// MLflow: what is sent, and that a server which fails in any way costs the run nothing.
import { afterAll, describe, expect, test } from "bun:test";
import { Fail } from "../../base/fail.ts";
import { Delivery, LIMITS, type Limits } from "./delivery.ts";
import { Trackers, trackersOf } from "./mod.ts";
import { mlflowTarget } from "./mlflow.ts";

const QUICK = {
  waiting: 50,
  batch: 500,
  every: 2,
  call: 100,
  retry: [5, 20],
  end: 300,
  checkpoint: 100,
} as const;
interface Call {
  readonly path: string;
  readonly authorisation: string | null;
  readonly body: Record<string, unknown>;
}
type Answer = (call: Call) => Response | Promise<Response> | undefined;

const servers: { stop(force: boolean): unknown }[] = [];
afterAll(() => servers.forEach((server) => server.stop(true)));

/** A server that answers as MLflow 2 and 3 do, unless `instead` says otherwise. */
function server(instead: Answer = () => undefined) {
  const calls: Call[] = [];
  const running = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const call = {
        path: pathname.replace(/^.*\/api\/2.0\/mlflow\//, "") + search,
        authorisation: request.headers.get("authorization"),
        body: request.method === "POST" ? await request.json() as Record<string, unknown> : {},
      };
      calls.push(call);
      return await instead(call) ?? usual(call);
    },
  });
  servers.push(running);
  return { url: `http://127.0.0.1:${running.port}`, calls };
}
const missing = () =>
  Response.json({ error_code: "RESOURCE_DOES_NOT_EXIST", message: "gone" }, { status: 404 });
function usual({ path, body }: Call): Response {
  if (path.startsWith("experiments/get-by-name")) return missing();
  if (path === "experiments/create") return Response.json({ experiment_id: "7" });
  if (path === "runs/create") {
    return Response.json({ run: { info: { run_id: `run-${body.run_name}` }, data: {} } });
  }
  return Response.json({});
}

function trackers(
  uri: string,
  env: Record<string, string> = {},
  state = {},
  limits: Limits = QUICK,
) {
  const warnings: string[] = [];
  const it = new Trackers(
    trackersOf({ report_to: ["mlflow"], mlflow_uri: uri, offline: false }, env),
    {
      name: "first",
      folder: "/nowhere",
      config: { lr: 2e-4, long: "x".repeat(900) },
      from: 0,
      started: 5,
    },
    state,
    (message) => warnings.push(message),
    limits,
  );
  return { it, warnings };
}
const step = (n: number) => ({ step: n, loss: 1 / n, grad_norm: n === 2 ? NaN : 1 });

test("a run: experiment, run, parameters, metrics, its end", async () => {
  const { url, calls } = server();
  const { it, warnings } = trackers(url + "/base/", { MLFLOW_TRACKING_TOKEN: "s3cret" });
  for (let n = 1; n <= 3; n++) it.event("step", step(n));
  const places = await it.end("finished");
  expect(warnings).toEqual([]);
  expect(places).toEqual([{ name: "mlflow", place: `${url}/base/#/experiments/7/runs/run-first` }]);
  expect(it.state()).toEqual({ mlflow: { run_id: "run-first" } });
  expect(calls.map(({ path }) => path)).toEqual([
    "experiments/get-by-name?experiment_name=whet",
    "experiments/create",
    "runs/create",
    "runs/log-batch",
    "runs/log-batch",
    "runs/update",
  ]);
  expect(calls.every(({ authorisation }) => authorisation === "Bearer s3cret")).toBe(true);
  expect(calls[1]!.body).toEqual({ name: "whet" });
  expect(calls[2]!.body).toMatchObject({ experiment_id: "7", run_name: "first", start_time: 5 });
  expect(calls[3]!.body).toEqual({
    run_id: "run-first",
    params: [{ key: "lr", value: "0.0002" }, { key: "long", value: "x".repeat(500) }],
  });
  const { metrics } = calls[4]!.body as { metrics: Record<string, unknown>[] };
  expect(metrics).toHaveLength(6);
  expect(metrics[0]).toEqual({
    key: "train/loss",
    value: 1,
    step: 1,
    timestamp: expect.any(Number),
  });
  expect(metrics[3]).toMatchObject({ key: "train/grad_norm", value: "NaN", step: 2 });
  expect(calls[5]!.body).toMatchObject({ run_id: "run-first", status: "FINISHED" });
});

test("a resumed run goes on where it was, or anew where the server has forgotten it", async () => {
  const { url, calls } = server();
  const known = trackers(url, {}, { mlflow: { run_id: "old" } });
  known.it.event("step", step(1));
  await known.it.end("stopped");
  expect(calls.map(({ path, body }) => [path, body.run_id, body.status])).toEqual([
    ["runs/update", "old", "RUNNING"],
    ["runs/log-batch", "old", undefined],
    ["runs/update", "old", "KILLED"],
  ]);
  const forgetful = server(({ path, body }) =>
    path === "runs/update" && body.run_id === "old" ? missing() : undefined
  );
  const anew = trackers(forgetful.url, {}, { mlflow: { run_id: "old" } });
  await anew.it.end("failed");
  expect(anew.warnings).toEqual([]);
  expect(anew.it.state()).toEqual({ mlflow: { run_id: "run-first" } });
});

test("batches keep to the server's limits", async () => {
  const { url, calls } = server();
  const { it } = trackers(url, {}, {}, { ...QUICK, waiting: 5000, batch: 5000 });
  for (let n = 1; n <= 900; n++) it.event("step", step(n));
  await it.end("finished");
  const sizes = calls.map(({ body }) => (body.metrics as unknown[] | undefined)?.length ?? 0);
  expect(Math.max(...sizes)).toBe(1000);
  expect(sizes.reduce((a, b) => a + b, 0)).toBe(1800);
});

describe("a server that", () => {
  const forever = () => new Promise<Response>(() => {});
  const cases: [name: string, answer: Answer, warning: string][] = [
    ["hangs", forever, "no answer within 0.1 s"],
    ["answers 500", () => new Response("oops", { status: 500 }), ": 500"],
    ["answers 429", () => new Response("", { status: 429 }), ": 429"],
    [
      "refuses the key",
      () => Response.json({ message: "who are you" }, { status: 401 }),
      "refused with 401: who are you",
    ],
    ["is no MLflow", () => new Response("<html>"), "does not answer as MLflow does"],
    ["answers with other fields", () => Response.json({}), "answered without experiment_id"],
  ];
  for (const [name, answer, warning] of cases) {
    test(`${name} costs no time and one warning`, async () => {
      const { url } = server(answer);
      // On a busy machine an answer may take long; only one that never comes is to be too late.
      const limits = { ...QUICK, call: answer === forever ? 100 : 60_000, end: 60_000 };
      const { it, warnings } = trackers(url, { MLFLOW_TRACKING_TOKEN: "s3cret" }, {}, limits);
      let waited = false;
      setTimeout(() => waited = true, 0);
      for (let n = 1; n <= 200; n++) it.event("step", step(n));
      await it.flush();
      expect(waited).toBe(false);
      while (warnings.length === 0) await Bun.sleep(1);
      const ending = performance.now();
      await it.end("finished");
      expect(performance.now() - ending).toBeLessThan(limits.end / 2);
      expect(warnings).toHaveLength(2);
      expect(warnings[0]).toContain(warning);
      expect(warnings[1]).toBe("mlflow: 200 entries were not delivered");
      expect(warnings.join()).not.toContain("s3cret");
    });
  }

  test("is not there", async () => {
    const { url } = server();
    servers.pop()!.stop(true);
    const { it, warnings } = trackers(url);
    it.event("step", step(1));
    await it.end("finished");
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain("tried again in the background");
  });

  test("redirects is not followed, least of all with the key", async () => {
    const thief = server();
    const { url } = server(() => Response.redirect(`${thief.url}/api/2.0/mlflow/x?a=b`, 302));
    const { it, warnings } = trackers(url, {
      MLFLOW_TRACKING_USERNAME: "me",
      MLFLOW_TRACKING_PASSWORD: "s3cret",
    });
    it.event("step", step(1));
    await it.end("finished");
    expect(thief.calls).toEqual([]);
    expect(warnings[0]).toContain(`redirects to ${new URL(thief.url).host}, which is not followed`);
  });

  test("fails for a while loses nothing, and the oldest go where too many wait", async () => {
    let down = true;
    const { url, calls } = server(() => down ? new Response("", { status: 503 }) : undefined);
    const { it, warnings } = trackers(url);
    for (let n = 1; n <= 60; n++) it.event("step", step(n));
    await Bun.sleep(40);
    down = false;
    await Bun.sleep(100);
    await it.end("finished");
    const steps = calls.filter(({ body }) => body.metrics).flatMap(({ body }) =>
      (body.metrics as { key: string; step: number }[]).filter(({ key }) => key === "train/loss")
    ).map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 50 }, (_, i) => i + 11));
    expect(warnings).toHaveLength(2);
    expect(warnings[1]).toBe("mlflow: 10 entries were not delivered");
  });
});

test("the limits in force are bounded", () => {
  expect(LIMITS.waiting).toBeLessThanOrEqual(10_000);
  expect(LIMITS.end).toBeLessThanOrEqual(10_000);
});

test("a tracker that throws where it must not does not reach the run", async () => {
  const warnings: string[] = [];
  const bad = {
    name: "bad",
    local: true,
    histograms: false,
    begin: () => {
      throw new TypeError("not a function");
    },
    write: () => Promise.reject(new Error("no")),
    end: () => Promise.reject(new Error("no")),
  };
  const facts = { name: "x", folder: ".", config: {}, from: 0, started: 0 };
  const delivery = new Delivery(bad, facts, undefined, (m) => warnings.push(m), QUICK);
  delivery.put({ kind: "scalars", step: 1, at: 0, values: {} });
  await delivery.end("finished");
  expect(delivery.lost).toBe(1);
  expect(warnings[0]).toContain("not a function");
});

describe("settings refused", () => {
  const cases: [uri: string | undefined, text: string][] = [
    [undefined, "needs a server"],
    ["", "needs a server"],
    ["file:///tmp/mlruns", "is not reached at file:///tmp/mlruns"],
    ["databricks", "is not reached at databricks"],
    ["http://me:s3cret@host/", "at host holds a name, a password or a query"],
    ["http://host/?token=s3cret", "at host holds a name, a password or a query"],
    ["http://", "is not reached at"],
  ];
  for (const [uri, text] of cases) {
    test(String(uri), () => {
      const refused = () => mlflowTarget({ uri }, {});
      expect(refused).toThrow(Fail);
      expect(refused).toThrow(text);
      expect(refused).not.toThrow("s3cret");
    });
  }

  test("--offline", () => {
    expect(() => trackersOf({ report_to: ["mlflow"], mlflow_uri: "http://x", offline: true }, {}))
      .toThrow("exclude each other");
  });

  test("MLflow's own variables serve where settings are silent", () => {
    const env = { MLFLOW_TRACKING_URI: "http://host:5000", MLFLOW_EXPERIMENT_NAME: "mine" };
    expect(mlflowTarget({}, env)).toMatchObject({ experiment: "mine" });
    expect(mlflowTarget({ uri: "https://other" }, env).url.href).toBe("https://other/");
  });
});
