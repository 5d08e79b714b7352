// Rows from a server that speaks Phoenix's REST API, and from exported files.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { inside } from "./inside.ts";
import {
  type Behaviour,
  cutting,
  judgement,
  mockPhoenix,
  type MockProject,
  routed,
} from "./mock_phoenix.ts";

setDefaultTimeout(60_000);
const root = mkdtempSync(join(tmpdir(), "whet phoenix "));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => mkdtempSync(join(root, `${folders++}-`));
const CANARY = "canary-key-0123456789abcdef";
const example = join(import.meta.dir, "../fixtures/phoenix/spans.json");

const pull = (argv: readonly string[], env: Record<string, string> = {}) =>
  inside("data from-phoenix", argv, env);
const rowsOf = (path: string) =>
  readFileSync(path, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const at = (server: { url: string }) => ({ PHOENIX_ENDPOINT: server.url });

/** `n` spans, of which every one is approved. */
function approved(n: number): MockProject {
  const spans = Array.from({ length: n }, (_, i) => routed(i));
  return { spans, annotations: spans.map((span) => judgement(span, "approved", 0.9)) };
}

describe("a server", () => {
  test("2,300 spans come in pages, and so do all of their annotations", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    using server = mockPhoenix({ "cogniverse-tenant1": approved(2300) });
    const argv = ["--tenant-id", "tenant1", "--agent", "routing", "--kind", "sft", "-o", out];
    const { code, err } = await pull(argv, at(server));
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const rows = rowsOf(out);
    expect(rows.length).toBe(2300);
    expect(rows.at(-1)).toEqual({
      instruction: "Route the following query to the appropriate agent",
      input: "question 0",
      output: "agent_0",
      metadata: {
        span_id: "0000000000000001",
        trace_id: "00000000000000000000000000000001",
        project: "cogniverse-tenant1",
        annotation: "human_approval",
        annotation_id: expect.any(String),
        label: "approved",
        score: 0.9,
        annotator: "HUMAN",
        time: "2026-11-02T10:00:00+00:00",
        confidence: 0.9,
      },
    });
    const spans = server.seen.filter(({ path }) => path.endsWith("/spans"));
    expect(spans.map(({ query }) => query.get("limit"))).toEqual(["1000", "1000", "1000"]);
    const notes = server.seen.filter(({ path }) => path.endsWith("/span_annotations"));
    expect(notes.length).toBe(23);
    expect(notes.every(({ query }) => Number(query.get("limit")) >= 100)).toBe(true);
  });

  test("more annotations than a page holds are all read", async () => {
    // 100 ids in a request, and twelve annotations on each: more than the 1,000 of a page.
    const dir = folder(), out = join(dir, "rows.jsonl");
    const spans = Array.from({ length: 100 }, (_, i) => routed(i));
    const annotations = spans.flatMap((span) =>
      Array.from(
        { length: 12 },
        (_, k) =>
          judgement(span, k === 11 ? "approved" : undefined, undefined, { identifier: `r${k}` }),
      )
    ).toSorted((a, b) => a.identifier.length - b.identifier.length);
    using server = mockPhoenix({ p: { spans, annotations } });
    expect((await pull(["--kind", "sft", "-o", out], at(server))).code).toBe(0);
    expect(rowsOf(out).length).toBe(100);
    expect(server.seen.filter(({ path }) => path.endsWith("/span_annotations")).length).toBe(2);
  });

  test("the next call takes only what is new, also what was judged later", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    const all = approved(12), { spans, annotations = [] } = all;
    using server = mockPhoenix({
      p: { spans: spans.slice(0, 8), annotations: annotations.slice(0, 6) },
    });
    const argv = ["--project", "p", "--kind", "sft", "-o", out];
    expect((await pull(argv, at(server))).code).toBe(0);
    expect(rowsOf(out).length).toBe(6);
    const again = await pull(argv, at(server));
    expect(again.out).toContain("0 sft rows");
    expect(again.out).toContain("6 were taken before");
    expect(rowsOf(out).length).toBe(6);
    server.projects = { p: { spans: spans.slice(0, 10), annotations: annotations.slice(0, 9) } };
    await pull(argv, at(server));
    expect(rowsOf(out).map(({ instruction }) => instruction)).toEqual([
      ...[5, 4, 3, 2, 1, 0].map((n) => `question ${n}`),
      ...[8, 7, 6].map((n) => `question ${n}`),
    ]);
    const last = server.seen.findLast(({ path }) => path.endsWith("/spans"))!;
    // The newest span began at 00:07, and seven days before that are read again.
    expect(last.query.get("start_time")).toBe("2026-10-25T00:07:00.000Z");

    // Moved away, the rows are not made again: what is new comes into a new file.
    rmSync(out);
    server.projects = { p: all };
    await pull(argv, at(server));
    expect(rowsOf(out).map(({ instruction }) => instruction)).toEqual([
      "question 11",
      "question 10",
      "question 9",
    ]);
    const other = await pull(["--project", "p", "--kind", "dpo", "-o", out], at(server));
    expect(other.code).toBe(2);
    expect(other.err).toContain("it is of sft rows, now dpo rows are wanted");
    const forced = await pull([...argv, "--force"], at(server));
    expect(forced.code).toBe(0);
    expect(rowsOf(out).length).toBe(12);
  });

  test("a call that was killed before it set its mark adds no row twice", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl"), mark = join(dir, "rows.watermark.json");
    const { spans, annotations = [] } = approved(6);
    using server = mockPhoenix({ p: { spans: spans.slice(0, 3), annotations } });
    const argv = ["--project", "p", "--kind", "sft", "-o", out];
    await pull(argv, at(server));
    const old = readFileSync(mark);
    server.projects = { p: { spans, annotations } };
    await pull(argv, at(server));
    writeFileSync(mark, old);
    await pull(argv, at(server));
    expect(rowsOf(out).length).toBe(6);
  });

  test("a file that is there is not written over", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    writeFileSync(out, "mine\n");
    using server = mockPhoenix({ p: approved(3) });
    const { code, err } = await pull(["--kind", "sft", "-o", out], at(server));
    expect(code).toBe(2);
    expect(err).toContain("is there already");
    expect(readFileSync(out, "utf8")).toBe("mine\n");
    expect(server.seen).toEqual([]);
  });

  test("no more than --max-spans, the newest", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    using server = mockPhoenix({ p: approved(30) });
    const { err } = await pull(["--kind", "sft", "--max-spans", "10", "-o", out], at(server));
    expect(err).toContain("there are more than 10 spans; the rest was not read");
    expect(rowsOf(out).map(({ instruction }) => instruction).at(0)).toBe("question 29");
    expect(rowsOf(out).length).toBe(10);
  });

  test("thumbs on a trace are those of its root", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    const span = routed(0), inner = routed(1, { parent_id: "0000000000000001" });
    const trace_id = span.context.trace_id;
    const child = { ...inner, context: { ...inner.context, trace_id } };
    const { span_id: _, ...thumb } = judgement(span, "thumbs-up", 1, { name: "user_feedback" });
    using server = mockPhoenix({
      p: { spans: [span, child], traceAnnotations: [{ ...thumb, trace_id }] },
    });
    await pull(["--kind", "sft", "-o", out], at(server));
    expect(rowsOf(out).map(({ instruction }) => instruction)).toEqual(["question 0"]);
  });

  test("an older server without traces' annotations and configurations", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    using server = mockPhoenix({ p: approved(2) }, undefined, { old: true });
    expect((await pull(["--kind", "sft", "-o", out], at(server))).code).toBe(0);
    expect(rowsOf(out).length).toBe(2);
  });

  test.each([false, true])(
    "documents that were judged become triplets (older server: %p)",
    async (old) => {
      const dir = folder(), out = join(dir, "triplets.jsonl");
      const documents = Object.fromEntries([0, 1, 2].map((i) => [
        `retrieval.documents.${i}.document.content`,
        `text ${i}`,
      ]));
      const spans = Array.from({ length: 60 }, (_, n) =>
        routed(n, {
          name: "search",
          span_kind: "RETRIEVER",
          attributes: { "input.value": `query ${n}`, ...documents },
        }));
      using server = mockPhoenix({ p: { spans } }, undefined, { old });
      server.documents = Object.fromEntries(spans.map(({ id }) => [id, [
        {
          name: "relevance",
          annotatorKind: "HUMAN",
          label: "relevant",
          score: 1,
          documentPosition: 1,
        },
        {
          name: "relevance",
          annotatorKind: "LLM",
          label: "relevant",
          score: 1,
          documentPosition: 2,
        },
      ]]));
      const { code } = await pull(["--kind", "triplet", "-o", out], at(server));
      expect(code).toBe(old ? 3 : 0);
      if (old) return;
      const rows = rowsOf(out);
      expect(rows.length).toBe(60);
      expect(rows[0]).toMatchObject({ anchor: "query 59", positive: "text 1", negative: "text 0" });
      expect(server.seen.filter(({ path }) => path === "/graphql").length).toBe(2);
    },
  );

  test("labels of the project's own configuration are learnt", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    const spans = [0, 1, 2].map((n) => routed(n));
    const labels = ["superb", "meh", "dreadful"];
    const annotations = spans.map((span, i) =>
      judgement(span, labels[i], undefined, { name: "taste" })
    );
    using server = mockPhoenix({ p: { spans, annotations } });
    server.configs = [{
      name: "taste",
      type: "CATEGORICAL",
      optimization_direction: "MINIMIZE",
      values: [{ label: "superb", score: 0 }, { label: "meh", score: 1 }, {
        label: "dreadful",
        score: 2,
      }],
    }];
    const report = join(dir, "r.json");
    await pull(["--kind", "sft", "-o", out, "--report", report], at(server));
    expect(rowsOf(out).map(({ instruction }) => instruction)).toEqual(["question 0"]);
    const { skipped, rejected } = JSON.parse(readFileSync(report, "utf8"));
    expect(rejected).toBe(1);
    expect(skipped).toContainEqual({
      what: "annotation",
      reason: "neither label nor score decides",
      count: 1,
      spans: ["0000000000000002"],
    });
  });
});

describe("a server that misbehaves", () => {
  const once = (what: Behaviour, ...others: Behaviour[]) => (n: number) =>
    [what, ...others][n - 1] ?? "good";

  test.each<[string, Behaviour[]]>([
    ["429 with Retry-After", ["429", "429"]],
    ["500", ["500"]],
    ["half of an answer", ["not json"]],
  ])("%s: asks again", async (_, what) => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    const [first, ...rest] = what as [Behaviour, ...Behaviour[]];
    using server = mockPhoenix({ p: approved(3) }, once(first, ...rest));
    const began = performance.now();
    const { code, err } = await pull(["--project", "p", "--kind", "sft", "-o", out], at(server));
    expect(code).toBe(0);
    expect(err).toContain("asking again in");
    expect(rowsOf(out).length).toBe(3);
    // The server said 0.05 s; without a word from it the first wait is about half a second.
    if (first === "429") expect(performance.now() - began).toBeLessThan(400);
  });

  test("a connection that is cut: asks again", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    using behind = mockPhoenix({ p: approved(3) });
    using server = cutting(behind);
    const { code, err } = await pull(["--project", "p", "--kind", "sft", "-o", out], at(server));
    expect(code).toBe(0);
    expect(err).toContain("asking again in");
    expect(rowsOf(out).length).toBe(3);
  });

  test("what never becomes better ends with exit 7, and nothing is written", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    using server = mockPhoenix({ p: approved(3) }, (n) => n > 1 ? "429" : "good");
    const argv = ["--project", "p", "--kind", "sft", "-o", out, "--retries", "2"];
    const { code, err } = await pull(argv, at(server));
    expect(code).toBe(7);
    expect(err).toContain("429 slow down");
    expect(err).toContain("it stayed so over 3 tries");
    expect(readdirSync(dir)).toEqual([]);
  });

  test("no answer in time", async () => {
    using server = mockPhoenix({ p: approved(3) }, () => "slow");
    const argv = ["--project", "p", "--retries", "0", "--request-timeout", "0.1"];
    const { code, err } = await pull(argv, at(server));
    expect(code).toBe(7);
    expect(err).toContain("no answer in time");
  });

  test("unreachable: exit 7, at once", async () => {
    const { code, err } = await pull(["--project", "p"], {
      PHOENIX_ENDPOINT: "http://127.0.0.1:9",
    });
    expect(code).toBe(7);
    expect(err).toContain("127.0.0.1:9 cannot be reached");
    expect(err).toContain("export PHOENIX_ENDPOINT=");
  });

  test("a wrong key: exit 8, and the key is nowhere", async () => {
    const dir = folder();
    using server = mockPhoenix({ p: approved(3) }, undefined, { key: "another" });
    const argv = ["--project", "p", "-o", join(dir, "rows.jsonl")];
    const { code, out, err } = await pull(argv, { ...at(server), PHOENIX_API_KEY: CANARY });
    expect(code).toBe(8);
    expect(err).toContain("refused the key with 401");
    expect(err).toContain("PHOENIX_API_KEY");
    expect(out + err).not.toContain(CANARY);
    expect(readdirSync(dir)).toEqual([]);
    expect(server.seen[0]!.headers.authorization).toBe(`Bearer ${CANARY}`);
  });

  test("a right key and headers of one's own are sent and never shown, also where they are sent back", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    const spans = [
      routed(0, { attributes: { "input.value": `my key is ${CANARY}`, "output.value": "no" } }),
    ];
    using server = mockPhoenix(
      {
        p: { spans, annotations: spans.map((span) => judgement(span, "approved", 1)) },
      },
      undefined,
      { key: CANARY },
    );
    const env = {
      ...at(server),
      PHOENIX_API_KEY: CANARY,
      PHOENIX_CLIENT_HEADERS: '{"x-space": "secret-space-value"}',
      PHOENIX_PROJECT: "p",
    };
    const report = join(dir, "r.json");
    const ran = await pull(["--kind", "sft", "-o", out, "--report", report, "--json"], env);
    expect(ran.code).toBe(0);
    expect(server.seen[0]!.headers["x-space"]).toBe("secret-space-value");
    const files = readdirSync(dir).map((name) => readFileSync(join(dir, name), "utf8"));
    expect(files.length).toBe(3);
    for (const text of [...files, ran.out, ran.err]) {
      expect(text).not.toContain(CANARY);
      expect(text).not.toContain("secret-space-value");
    }
    expect(files.join()).toContain("my key is [key]");
    using echo = mockPhoenix({ p: approved(1) }, () => "echo key");
    const { err, code } = await pull([], { ...env, ...at(echo) });
    expect(code).toBe(7);
    expect(err).toContain("bad: Bearer [key]");
  });

  test("a redirect is not followed, and the other host hears nothing", async () => {
    using elsewhere = mockPhoenix({ p: approved(3) });
    using server = mockPhoenix({}, () => "redirect", { elsewhere: elsewhere.url });
    const env = { ...at(server), PHOENIX_API_KEY: CANARY };
    const { code, err } = await pull(["--project", "p"], env);
    expect(code).toBe(7);
    expect(err).toContain(`redirects to ${new URL(elsewhere.url).host}, which is not followed`);
    expect(elsewhere.seen).toEqual([]);
  });

  test("an unknown project: those that exist are named", async () => {
    using server = mockPhoenix({ "cogniverse-tenant1": approved(1), default: approved(1) });
    const { code, err } = await pull(["--project", "cogniverse-tenant2"], at(server));
    expect(code).toBe(2);
    expect(err).toContain('no project "cogniverse-tenant2"');
    expect(err).toContain("it has cogniverse-tenant1, default");
    expect(err).toContain("--project cogniverse-tenant1");
    const none = await pull([], at(server));
    expect(none.err).toContain("which project?");
  });

  test("a web page is no Phoenix; neither is --offline with a server", async () => {
    using server = mockPhoenix({}, () => "html");
    const { code, err } = await pull(["--project", "p"], at(server));
    expect(code).toBe(7);
    expect(err).toContain("answers with a web page");
    expect((await pull(["--project", "p", "--offline"], at(server))).code).toBe(2);
    expect(server.seen.length).toBe(1);
  });

  test("a key is not sent in the open, nor are broken headers shown", async () => {
    const plain = { PHOENIX_ENDPOINT: "http://phoenix.example", PHOENIX_API_KEY: CANARY };
    const { code, err } = await pull(["--project", "p"], plain);
    expect(code).toBe(2);
    expect(err).toContain("would send the key for everybody to read");
    const broken = await pull(["--project", "p"], { PHOENIX_CLIENT_HEADERS: `{"a": ${CANARY}` });
    expect(broken.code).toBe(2);
    expect(broken.err).not.toContain(CANARY);
  });
});

describe("files", () => {
  test("what px exports: rows of all kinds, and the same from Parquet and from a page of the API", async () => {
    const dir = folder(), out = join(dir, "rows.jsonl");
    expect((await pull([example, "--agent", "routing", "-o", out])).code).toBe(0);
    const rows = rowsOf(out);
    expect(rows.length).toBe(108);

    const spans = JSON.parse(readFileSync(example, "utf8"));
    const page = join(dir, "page.json");
    writeFileSync(page, JSON.stringify({ data: spans, next_cursor: null }));
    await pull([page, "--agent", "routing", "-o", join(dir, "b.jsonl")]);
    expect(rowsOf(join(dir, "b.jsonl"))).toEqual(rows);

    // The dataframes of the Python client: columns with dots, lists of structures, JSON in metadata.
    const column = (name: string, read: (span: Span) => unknown) => ({
      name,
      data: spans.map(read),
    });
    type Span = Record<string, never> & {
      context: Record<string, string>;
      attributes: Record<string, string>;
      annotations: Record<string, unknown>[];
    };
    const table = parquetWriteBuffer({
      columnData: [
        column("context.span_id", (s) => s.context.span_id),
        column("context.trace_id", (s) => s.context.trace_id),
        column("name", (s) => s.name),
        column("span_kind", (s) => s.span_kind),
        column("start_time", (s) => s.start_time),
        column("attributes.input.value", (s) => s.attributes["input.value"]),
        column("attributes.output.value", (s) => s.attributes["output.value"]),
      ] as never,
    });
    writeFileSync(join(dir, "spans.parquet"), new Uint8Array(table));
    const notes = spans.flatMap(({ annotations }: Span) => annotations) as Record<
      string,
      unknown
    >[];
    const resultOf = ({ result }: Record<string, unknown>) => result as Record<string, unknown>;
    const about = (name: string, read: (note: Record<string, unknown>) => unknown) => ({
      name,
      data: notes.map(read),
    });
    const judged = parquetWriteBuffer({
      columnData: [
        about("__index_level_0__", (n) => n.span_id),
        about("id", (n) => n.id),
        about("name", (n) => n.name),
        about("annotator_kind", (n) => n.annotator_kind),
        about("result.label", (n) => resultOf(n).label),
        about("result.score", (n) => resultOf(n).score),
        about("metadata", (n) => JSON.stringify(n.metadata)),
        about("user_id", (n) => n.user_id),
        about("updated_at", (n) => n.updated_at),
      ] as never,
    });
    writeFileSync(join(dir, "annotations.parquet"), new Uint8Array(judged));
    const both = [join(dir, "spans.parquet"), join(dir, "annotations.parquet")];
    await pull([...both, "--agent", "routing", "-o", join(dir, "c.jsonl")]);
    const plain = (list: Record<string, unknown>[]) => list.map(({ metadata: _, ...row }) => row);
    expect(plain(rowsOf(join(dir, "c.jsonl")))).toEqual(plain(rows));
  });

  test("identical pairs: the documented warning, and a report that counts them", async () => {
    const dir = folder(), file = join(dir, "spans.jsonl"), report = join(dir, "r.json");
    const span = routed(0), other = routed(1);
    const lines = [
      { ...span, annotations: [judgement(span, "approved", 1), judgement(span, "rejected", 0)] },
      {
        ...other,
        annotations: [
          judgement(other, "approved", 1, { metadata: { response: "agent_7" } }),
          judgement(other, "rejected", 0),
        ],
      },
    ];
    writeFileSync(file, lines.map((line) => JSON.stringify(line)).join("\n"));
    const out = join(dir, "pairs.jsonl");
    const { code, err } = await pull([file, "--kind", "dpo", "-o", out, "--report", report]);
    expect(code).toBe(0);
    expect(err).toContain("warning: Skipping identical pair for span 0000000000000001\n");
    expect(rowsOf(out)).toEqual([{
      prompt: "question 1",
      chosen: "agent_7",
      rejected: "agent_1",
      metadata: expect.objectContaining({
        span_id: "0000000000000002",
        chosen_score: 1,
        rejected_score: 0,
      }),
    }]);
    const { skipped, found } = JSON.parse(readFileSync(report, "utf8"));
    expect(found).toEqual({ sft: 2, dpo: 1, triplets: 0 });
    expect(skipped).toEqual([{
      what: "dpo",
      reason: "chosen and rejected are the same",
      count: 1,
      spans: ["0000000000000001"],
    }]);
  });

  test("broken files: the line of JSON, the reason of Parquet", async () => {
    const dir = folder(), file = join(dir, "spans.jsonl");
    const good = JSON.stringify(routed(0));
    writeFileSync(file, `${good}\n{"attributes": {}}\n${good.slice(0, 40)}\n${good}\n`);
    const { code, err } = await pull([file, "-o", join(dir, "out.jsonl")]);
    expect(code).toBe(3);
    expect(err).toContain("line 2: there is no span_id");
    expect(err).toContain("line 3: ");
    expect(existsSync(join(dir, "out.jsonl"))).toBe(false);
    const table = join(dir, "spans.parquet");
    writeFileSync(table, "PAR1 and then nothing");
    const broken = await pull([table]);
    expect(broken.code).toBe(3);
    expect(broken.err).toContain(`cannot read the Parquet file ${table}`);
    const none = await pull([join(dir, "nowhere.json")]);
    expect(none.code).toBe(3);
    expect(none.err).toContain("there is no such file");
  });

  test("spans that nobody judged: the documented words, and why", async () => {
    const dir = folder(), file = join(dir, "spans.jsonl");
    writeFileSync(file, [0, 1].map((n) => JSON.stringify(routed(n))).join("\n"));
    const { code, err } = await pull([file]);
    expect(code).toBe(3);
    expect(err).toContain(
      "Cannot train with empty dataset. No training examples available after formatting.",
    );
    expect(err).toContain("of 2 spans, 0 annotations: 2 not annotated");
    expect(err).toContain("Ensure you have approved annotations in Phoenix");
  });

  test("a mapping of one's own; a mistake in it has its line", async () => {
    const dir = folder(), file = join(dir, "spans.jsonl"), mapping = join(dir, "map.yaml");
    const attributes = { "app.question": "who?", "app.answer": "me", "input.value": "x" };
    const spans = [0, 1].map((n) =>
      routed(n, { attributes, name: "concierge", span_kind: "TOOL" })
    );
    const notes = spans.map((s, i) =>
      judgement(s, i === 0 ? "stars" : undefined, 4 - 3 * i, {
        annotator_kind: "CODE",
        name: "rating",
        metadata: i === 0 ? { better: "myself" } : {},
      })
    );
    writeFileSync(file, [...spans, ...notes].map((one) => JSON.stringify(one)).join("\n"));
    writeFileSync(
      mapping,
      "phoenix:\n  annotation: rating\n  annotator_kind: [CODE]\n  approved: {min_score: 3}\n" +
        "  rejected: {below_score: 2}\n  prompt: app.question\n  answer: [app.answer]\n" +
        "  edited_output: metadata.better\n  pair_by: input\n" +
        "  span: {kinds: [TOOL], name_contains: concierge}\n",
    );
    const out = join(dir, "pairs.jsonl");
    const { code, err } = await pull([file, "--kind", "dpo", "--mapping", mapping, "-o", out]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(rowsOf(out).map(({ metadata: _, ...row }) => row)).toEqual([
      { prompt: "who?", chosen: "myself", rejected: "me" },
    ]);
    writeFileSync(mapping, "annotation: rating\napproved:\n  min_scor: 3\n");
    const wrong = await pull([file, "--mapping", mapping]);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain(`${mapping}:3:3: unknown key "min_scor"`);
    expect(wrong.err).toContain('did you mean "min_score"?');
  });
});

describe("which training", () => {
  const select = (argv: readonly string[], env = {}) => inside("data select", argv, env);

  test("pairs before examples, at the thresholds and not below", async () => {
    const dir = folder(), file = join(dir, "spans.jsonl");
    const write = (pairs: number, examples: number) => {
      const spans = Array.from({ length: pairs + examples }, (_, i) => {
        const span = routed(i);
        const good = judgement(span, "approved", 1, {
          metadata: i < pairs ? { output: "better" } : {},
        });
        return {
          ...span,
          annotations: i < pairs ? [good, judgement(span, "rejected", 0)] : [good],
        };
      });
      writeFileSync(file, spans.map((span) => JSON.stringify(span)).join("\n"));
    };
    const method = async () => {
      const { out, code } = await select([file, "--json"]);
      const { recommended_method, confidence } = JSON.parse(out.split("\n")[0]!);
      return [code, recommended_method, confidence];
    };
    write(20, 0);
    expect(await method()).toEqual([0, "dpo", 0.5]);
    write(40, 200);
    expect(await method()).toEqual([0, "dpo", 1]);
    write(19, 31);
    expect(await method()).toEqual([0, "sft", 0.5]);
    write(15, 20);
    expect(await method()).toEqual([3, "insufficient", 0.25]);
    const { err } = await select([file]);
    expect(err).toContain(
      "Insufficient preference pairs: 15 < 20. Need spans with both approved and rejected annotations.",
    );
    expect(err).toContain("Insufficient approved examples: 35 < 50.");
    expect(err).toContain("writes a second one over it");
    expect((await select([file, "--min-dpo", "15"])).code).toBe(0);
  });

  test("triplets for an embedding model, and rows that are made already", async () => {
    const { code, err } = await select([
      example,
      "--model-type",
      "embedding",
      "--modality",
      "video",
    ]);
    expect(code).toBe(3);
    expect(err).toContain("Insufficient triplets: 12 < 100.");
    const dir = folder(), file = join(dir, "pairs.jsonl");
    const pairs = Array.from({ length: 22 }, (_, i) => ({
      prompt: `p${i}`,
      chosen: "a",
      rejected: i === 3 ? "a" : "b",
      metadata: { span_id: `s${i}` },
    }));
    writeFileSync(file, pairs.map((row) => JSON.stringify(row)).join("\n"));
    const ran = await select([file, "--json"]);
    expect(JSON.parse(ran.out.trimEnd().split("\n").at(-1)!))
      .toMatchObject({ recommended_method: "dpo", preference_pairs: 21 });
    expect(ran.err).toContain("Skipping identical pair for span s3");
    writeFileSync(
      file,
      '{"prompt": "a", "text": "b"}\n{"chosen": "x", "prompt": "p", "text": "b"}\n',
    );
    const bad = await select([file]);
    expect(bad.code).toBe(3);
    expect(bad.err).toContain(
      "Invalid DPO dataset at index 1: missing required fields ['rejected']. " +
        "Expected fields: ['prompt', 'chosen', 'rejected'], got: ['chosen', 'prompt', 'text']",
    );
  });

  test("from a server", async () => {
    using server = mockPhoenix({ p: approved(60) });
    const { code, out } = await select(["--project", "p", "--agent", "routing"], at(server));
    expect(code).toBe(0);
    expect(out).toContain("Method: sft (60 approved examples >= 50)\nConfidence: 0.6");
  });
});
