import { Exit, Fail } from "../../base/fail.ts";
import { excerpt } from "../../base/text.ts";
import { type Entry, type Outcome, type RunFacts, type Tracker, worded } from "./tracker.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where MLflow is and what it may be told; `authorisation` is a secret. */
export interface MlflowTarget {
  readonly url: URL;
  readonly experiment: string;
  readonly authorisation?: string;
}

/**
 * The server of settings or of MLflow's own environment variables. Keys come from the environment only.
 * @throws Fail (usage) where there is none, or it is not reached by HTTP
 */
export function mlflowTarget(
  settings: { readonly uri?: string; readonly experiment?: string },
  env: Environment,
): MlflowTarget {
  const uri = settings.uri ?? env.MLFLOW_TRACKING_URI;
  const refuse = (what: string, why: string, fix: string) =>
    new Fail(what, { why, fix, code: "WH0216", exit: Exit.usage });
  if (!uri) {
    throw refuse(
      "--report-to mlflow needs a server",
      "neither --mlflow-uri nor MLFLOW_TRACKING_URI names one",
      "--mlflow-uri http://127.0.0.1:5000",
    );
  }
  const url = URL.parse(uri);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw refuse(
      `MLflow is not reached at ${url?.password ? "that address" : excerpt(uri, 80)}`,
      "whet speaks its REST interface, over http or https",
      "start a server (mlflow server) and name it: --mlflow-uri http://127.0.0.1:5000",
    );
  }
  if (url.username || url.password || url.search) {
    throw refuse(
      `the address of MLflow at ${url.host} holds a name, a password or a query`,
      "addresses are recorded in run.json, and secrets never are",
      "put them into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    );
  }
  const { MLFLOW_TRACKING_TOKEN: token, MLFLOW_TRACKING_USERNAME: user } = env;
  const basic = user && btoa(`${user}:${env.MLFLOW_TRACKING_PASSWORD ?? ""}`);
  return {
    url: new URL(url.href.replace(/#.*$/, "").replace(/\/*$/, "/")),
    experiment: settings.experiment ?? env.MLFLOW_EXPERIMENT_NAME ?? "whet",
    authorisation: token ? `Bearer ${token}` : basic ? `Basic ${basic}` : undefined,
  };
}

/** Most of each in one runs/log-batch, as the server's limits are. */
const MOST = { metrics: 1000, params: 100, value: 500, key: 250 };

/**
 * A run on an MLflow server, over its REST interface 2.0. Scalars become metrics, settings parameters;
 * texts and histograms stay in the run folder. Redirects are not followed: they would carry the key along.
 */
export class Mlflow implements Tracker {
  readonly name = "mlflow";
  readonly local = false;
  readonly histograms = false;
  place: string | undefined;
  #run = "";

  constructor(private readonly target: MlflowTarget) {}

  async begin(run: RunFacts, state: unknown, signal: AbortSignal): Promise<unknown> {
    const before = (state as { run_id?: string } | null | undefined)?.run_id;
    if (before && await this.#goOn(before, signal)) return { run_id: before };
    const experiment = await this.#experiment(signal);
    const { name, started: start_time, config } = run;
    const made = await this.#post("runs/create", {
      experiment_id: experiment,
      run_name: name,
      start_time,
      tags: [{ key: "mlflow.source.name", value: "whet" }],
    }, signal) as { run?: { info?: { run_id?: unknown } } };
    this.#run = this.#text(made.run?.info?.run_id, "run_id");
    this.place = new URL(`#/experiments/${experiment}/runs/${this.#run}`, this.target.url).href;
    const params = Object.entries(config).map(([key, value]) => ({
      key: key.slice(0, MOST.key),
      value: worded(value).slice(0, MOST.value),
    }));
    for (let i = 0; i < params.length; i += MOST.params) {
      const some = params.slice(i, i + MOST.params);
      await this.#post("runs/log-batch", { run_id: this.#run, params: some }, signal);
    }
    return { run_id: this.#run };
  }

  async write(entries: readonly Entry[], signal: AbortSignal): Promise<void> {
    const metrics = entries.flatMap((entry) =>
      entry.kind !== "scalars" ? [] : Object.entries(entry.values).map(([key, value]) => ({
        key,
        // JSON has no NaN; the server reads numbers from text too.
        value: Number.isFinite(value) ? value : String(value),
        timestamp: entry.at,
        step: entry.step,
      }))
    );
    for (let i = 0; i < metrics.length; i += MOST.metrics) {
      const some = metrics.slice(i, i + MOST.metrics);
      await this.#post("runs/log-batch", { run_id: this.#run, metrics: some }, signal);
    }
  }

  async end(outcome: Outcome, signal: AbortSignal): Promise<void> {
    const status = { finished: "FINISHED", stopped: "KILLED", failed: "FAILED" }[outcome];
    await this.#post("runs/update", { run_id: this.#run, status, end_time: Date.now() }, signal);
  }

  /** @returns whether the server still has the run */
  async #goOn(run: string, signal: AbortSignal): Promise<boolean> {
    const body = { run_id: run, status: "RUNNING" };
    const answer = await this.#send("POST", "runs/update", body, signal);
    if (answer.status === 404) return false;
    await this.#read(answer);
    this.#run = run;
    return true;
  }

  async #experiment(signal: AbortSignal): Promise<string> {
    const { experiment: name } = this.target;
    const find = `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
    const answer = await this.#send("GET", find, undefined, signal);
    if (answer.status === 404) {
      const { experiment_id } = await this.#post("experiments/create", { name }, signal) as {
        experiment_id?: unknown;
      };
      return this.#text(experiment_id, "experiment_id");
    }
    const { experiment } = await this.#read(answer) as {
      experiment?: { experiment_id?: unknown; lifecycle_stage?: unknown };
    };
    if (experiment?.lifecycle_stage === "deleted") {
      throw new Fail(`the experiment ${name} was deleted on ${this.target.url.host}`, {
        fix: "restore it there, or name another with --experiment",
        exit: Exit.remote,
      });
    }
    return this.#text(experiment?.experiment_id, "experiment_id");
  }

  async #post(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return await this.#read(await this.#send("POST", path, body, signal));
  }

  #send(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const { url, authorisation } = this.target;
    return fetch(new URL(`api/2.0/mlflow/${path}`, url), {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: {
        "content-type": "application/json",
        ...(authorisation ? { authorization: authorisation } : {}),
      },
      redirect: "manual",
      signal,
    });
  }

  /** @throws Fail for what will not be better later; Error for what may */
  async #read(answer: Response): Promise<unknown> {
    const { host } = this.target.url, { status } = answer;
    if (answer.ok) {
      try {
        return await answer.json();
      } catch {
        throw new Fail(`${host} does not answer as MLflow does`, { exit: Exit.remote });
      }
    }
    const text = await answer.text().catch(() => "");
    if (status >= 500 || status === 408 || status === 429) throw new Error(`${host}: ${status}`);
    if (status >= 300 && status < 400) {
      const to = URL.parse(answer.headers.get("location") ?? "", this.target.url)?.host;
      throw new Fail(`${host} redirects to ${to ?? "nowhere"}, which is not followed`, {
        exit: Exit.remote,
      });
    }
    throw new Fail(`${host} refused with ${status}`, {
      why: excerpt(messageOf(text), 200) || undefined,
      exit: status === 401 || status === 403 ? Exit.authorisation : Exit.remote,
    });
  }

  #text(value: unknown, what: string): string {
    if (typeof value === "string" && value !== "") return value;
    throw new Fail(`${this.target.url.host} answered without ${what}`, { exit: Exit.remote });
  }
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text;
  }
}
