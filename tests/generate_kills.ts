/** Kills whet data generate at random moments while it asks a server, and counts what that costs. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mockTeacher } from "./cli/mock_teacher.ts";
import { start } from "./cli/run.ts";

export interface GenerationKills {
  readonly kills: number;
  /** Data sets that were brought to their end. */
  readonly finished: number;
  /** Rows that were told as there. */
  readonly acknowledged: number;
  /** What was lost, repeated more than once, or came out wrong. */
  readonly wrong: string[];
  /** Calls whose answers nobody had when the kill came. */
  readonly repeated: number;
}

/** Rows of one data set, and of one call: fifty calls each. */
const ROWS = 250, BATCH = 5;

/** The number of whole lines of a journal that hold a reply, and of their rows. */
function journalOf(path: string): { replies: number; rows: number } {
  if (!existsSync(path)) return { replies: 0, rows: 0 };
  const whole = readFileSync(path, "utf8").split("\n").slice(0, -1);
  const replies = whole.map((line) => JSON.parse(line)).filter((entry) => "reply" in entry);
  return {
    replies: replies.length,
    rows: replies.reduce((sum, { rows }) => sum + rows.length, 0),
  };
}

/** @param random in [0, 1), gives the moments */
export async function killGenerations(
  wanted: number,
  random: () => number,
): Promise<GenerationKills> {
  const dir = mkdtempSync(join(tmpdir(), "generate-kills-"));
  using mock = mockTeacher(() => "good", 6);
  const env = {
    ANTHROPIC_API_KEY: "key",
    ANTHROPIC_BASE_URL: mock.url,
    WHET_CACHE: join(dir, "cache"),
  };
  const wrong: string[] = [];
  let kills = 0, finished = 0, acknowledged = 0, repeated = 0, set = 0;
  try {
    while (kills < wanted) {
      const output = `set${++set}.jsonl`, journal = join(dir, `set${set}_progress.jsonl`);
      let told = 0, asked = 0, lost = 0;
      for (let done = false; !done;) {
        const before = mock.seen.length;
        const had = journalOf(journal);
        const child = start(
          [
            ...["data", "generate", "garden", "--teacher", "anthropic", "--json", "-o", output],
            ...["-n", `${ROWS}`, "--batch", `${BATCH}`, "--max-calls", "10000"],
          ],
          dir,
          env,
        );
        child.stdin.end();
        const err = new Response(child.stderr).text();
        const reader = child.stdout.getReader();
        const decoder = new TextDecoder();
        let out = "";
        const first = await reader.read();
        out += decoder.decode(first.value);
        const timer = kills < wanted && !first.done
          ? setTimeout(() => child.kill("SIGKILL"), random() * 250)
          : undefined;
        for (;;) {
          const { value, done: end } = await reader.read();
          if (end) break;
          out += decoder.decode(value);
        }
        await child.exited;
        clearTimeout(timer);
        // The last line may be cut by the kill; a whole one is a promise.
        const lines = out.split("\n").slice(0, -1).map((line) => JSON.parse(line));
        const batches = lines.filter(({ event }) => event === "batch");
        told = Math.max(told, ...batches.map(({ rows }) => rows));
        acknowledged += batches.length * BATCH;
        asked += mock.seen.length - before;
        if (child.signalCode !== "SIGKILL") {
          done = true;
          if (child.exitCode !== 0) wrong.push(`set ${set}: ended by itself: ${await err}`);
          break;
        }
        kills++;
        if (!existsSync(journal)) {
          // Killed after its end: everything must be there.
          if (!existsSync(join(dir, output))) wrong.push(`kill ${kills}: neither rows nor journal`);
          break;
        }
        const has = journalOf(journal);
        if (has.rows < told) wrong.push(`kill ${kills}: ${has.rows} rows are left of ${told}`);
        const gone = mock.seen.length - before - (has.replies - had.replies);
        if (gone > 1) wrong.push(`kill ${kills}: ${gone} calls must be repeated`);
        lost += gone;
      }
      if (wrong.length > 0) break;
      repeated += lost;
      finished++;
      const rows = [output, output.replace(".jsonl", "_val.jsonl")].flatMap((name) =>
        readFileSync(join(dir, name), "utf8").trim().split("\n")
      );
      if (rows.length !== ROWS || new Set(rows).size !== ROWS) {
        wrong.push(`set ${set}: ${new Set(rows).size} different rows of ${rows.length}`);
      }
      if (asked !== ROWS / BATCH + lost) {
        wrong.push(`set ${set}: ${asked} calls for ${ROWS / BATCH}, ${lost} of them lost`);
      }
      if (existsSync(journal)) wrong.push(`set ${set}: the journal is still there`);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return { kills, finished, acknowledged, wrong, repeated };
}
