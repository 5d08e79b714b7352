import { Worker } from "node:worker_threads";

/** Threads that do tasks of one kind, the first that is free the next. Disposing them ends them. */
export interface Threads<Task, Done> extends Disposable {
  /** What a thread made of a task, in the order of asking; undefined when no thread could. */
  run(task: Task): Promise<Done | undefined>;
  /** How many are running. */
  readonly running: number;
}

/**
 * The program of a thread by its path in the repository, where scripts/build.ts lists it too: in the
 * binary sources have the paths they have there.
 */
export function threadProgram(path: string): string | URL {
  return Bun.isStandaloneExecutable ? `./${path}` : new URL(`../../${path}`, import.meta.url);
}

/**
 * Threads of a program that answers each message with one message, started with the first task.
 * What `given` names of a task goes over to the thread; the rest is copied.
 */
export function createThreads<Task, Done>(
  count: number,
  program: string | URL,
  given: (task: Task) => readonly ArrayBuffer[] = () => [],
): Threads<Task, Done> {
  interface Waiting {
    readonly task: Task;
    resolve(done: Done | undefined): void;
  }
  const queue: Waiting[] = [];
  const idle: (() => void)[] = [];
  const all = new Set<Worker>();
  let started = false;

  function start(): void {
    const worker = new Worker(program);
    let current: Waiting | undefined;
    const next = () => {
      current = queue.shift();
      if (current === undefined) return void idle.push(next);
      worker.postMessage(current.task, given(current.task));
    };
    // What a lost thread was at stays undone, and with the last of them all that waits.
    const lost = () => {
      all.delete(worker);
      if (idle.includes(next)) idle.splice(idle.indexOf(next), 1);
      current?.resolve(undefined);
      current = undefined;
      if (all.size === 0) { for (const { resolve } of queue.splice(0)) resolve(undefined); }
    };
    worker.on("message", (done: Done) => {
      current?.resolve(done);
      next();
    });
    worker.on("error", lost);
    worker.on("exit", lost);
    all.add(worker);
    next();
  }

  return {
    run(task) {
      if (!started) { for (let i = 0; i < count; i++) start(); }
      started = true;
      if (all.size === 0) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        queue.push({ task, resolve });
        idle.pop()?.();
      });
    },
    get running() {
      return all.size;
    },
    [Symbol.dispose]() {
      for (const worker of all) {
        worker.removeAllListeners();
        void worker.terminate();
      }
    },
  };
}
