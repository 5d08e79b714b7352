import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where a Chromium is, if there is one: $CHROMIUM, or where systems put it. */
export const chromium: string | undefined = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
].find((path) => path && existsSync(path));

if (!chromium) console.log("no Chromium found: pages are not opened; set CHROMIUM to its path");

/** One page of a headless browser, driven by the DevTools protocol, and what it did by itself. */
export class Tab {
  /** Every address the page asked for. */
  readonly requests: string[] = [];
  /** Console errors and uncaught exceptions. */
  readonly errors: string[] = [];
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: unknown }) => void>();
  #last = 0;

  private constructor(
    private readonly socket: WebSocket,
    private readonly process: Bun.Subprocess,
    private readonly profile: string,
  ) {
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(String(data)));
  }

  static async open(): Promise<Tab> {
    const profile = mkdtempSync(join(tmpdir(), "whet-chromium-"));
    const process = Bun.spawn([
      chromium!,
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      "--window-size=1200,1600",
      "about:blank",
    ], { stdout: "ignore", stderr: "pipe" });
    let said = "", port: string | undefined;
    for await (const part of process.stderr) {
      said += new TextDecoder().decode(part);
      port = /DevTools listening on ws:\/\/[^:]+:(\d+)\//.exec(said)?.[1];
      if (port) break;
    }
    if (!port) throw new Error(`the browser did not start: ${said.slice(-500)}`);
    const pages = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json() as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    const socket = new WebSocket(pages.find((p) => p.type === "page")!.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    const tab = new Tab(socket, process, profile);
    for (const domain of ["Page", "Network", "Runtime", "Log"]) await tab.send(`${domain}.enable`);
    return tab;
  }

  #hear(message: {
    id?: number;
    method?: string;
    params?: Record<string, never>;
    result?: unknown;
    error?: unknown;
  }): void {
    if (message.id !== undefined) return this.#waiting.get(message.id)?.(message);
    const p = message.params as unknown as {
      request: { url: string };
      entry: { level: string; text: string };
      exceptionDetails: { text: string; exception?: { description?: string } };
    };
    switch (message.method) {
      case "Network.requestWillBeSent":
        this.requests.push(p.request.url);
        break;
      case "Log.entryAdded":
        if (p.entry.level === "error") this.errors.push(p.entry.text);
        break;
      case "Runtime.exceptionThrown":
        this.errors.push(p.exceptionDetails.exception?.description ?? p.exceptionDetails.text);
    }
  }

  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        this.#waiting.delete(id);
        if (error) reject(new Error(`${method}: ${JSON.stringify(error)}`));
        else resolve(result as Record<string, unknown>);
      });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }

  async goto(url: string): Promise<void> {
    await this.send("Page.navigate", { url });
    await this.until("document.readyState === 'complete'");
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    }) as { result: { value: T } };
    return result.value;
  }

  /** Waits for an expression to be true. */
  async until(expression: string, milliseconds = 20_000): Promise<void> {
    const end = Date.now() + milliseconds;
    while (!await this.evaluate<boolean>(expression)) {
      if (Date.now() > end) throw new Error(`never true in the page: ${expression}`);
      await Bun.sleep(50);
    }
  }

  /** The whole page as PNG. */
  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: true });
    return Buffer.from(String(data), "base64");
  }

  async close(): Promise<void> {
    this.socket.close();
    this.process.kill();
    await this.process.exited;
    rmSync(this.profile, { recursive: true, force: true });
  }
}
