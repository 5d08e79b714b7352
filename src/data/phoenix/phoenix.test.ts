import { describe, expect, test } from "bun:test";
import { defaultMapping, type Mapping, parseMapping } from "../../settings/mapping.ts";
import { momentOf } from "../../settings/telemetry.ts";
import { answeredAt, askedAt } from "./asked.ts";
import { endpointOf } from "./client.ts";
import { extract, type ExtractOptions } from "./extract.ts";
import { attach } from "./files.ts";
import { Skips } from "./skips.ts";
import { noteOf, type Span, spanOf } from "./span.ts";
import { at, listAt, treeOf } from "./tree.ts";
import { verdictOf } from "./verdict.ts";

const span = (id: string, attributes: object, annotations: object[], more: object = {}): Span => {
  const made = spanOf({
    name: "routing",
    span_kind: "LLM",
    context: { span_id: id, trace_id: `t-${id}` },
    attributes,
    annotations,
    ...more,
  });
  if (typeof made !== "object") throw new Error(String(made));
  return made;
};
const human = (label: string | undefined, score?: number, more: object = {}) => ({
  name: "human_approval",
  annotator_kind: "HUMAN",
  result: { label, score },
  ...more,
});
const made = (spans: Span[], options: Partial<ExtractOptions> = {}) =>
  extract(spans, { mapping: defaultMapping, ...options });
const bare = (rows: readonly Record<string, unknown>[]) =>
  rows.map(({ metadata: _, ...row }) => row);
const reasons = ({ skips }: { skips: Skips }) =>
  skips.list().map(({ what, reason, count }) => `${count} ${what}: ${reason}`).sort();

describe("attributes in any form are one tree", () => {
  const flat = {
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "hi",
    "llm.input_messages.1.message.role": "assistant",
    "llm.input_messages.1.message.content": "yes?",
    "llm.input_messages.10.message.role": "user",
    "llm.input_messages.10.message.content": "rain?",
  };
  const frame = {
    "llm.input_messages": [
      { "message.role": "user", "message.content": "hi", "message.tool_calls": null },
      { "message.role": "assistant", "message.content": "yes?" },
      { message: { role: "user", content: "rain?" } },
    ],
  };
  const nested = {
    llm: { input_messages: frame["llm.input_messages"].map((one) => treeOf(one)) },
  };
  test.each([flat, frame, nested, JSON.parse(JSON.stringify(nested))])("form %#", (attributes) => {
    const asked = askedAt(treeOf(attributes), defaultMapping.prompt);
    expect(asked).toEqual({
      text: "rain?",
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: "yes?" },
        { role: "user", content: "rain?" },
      ],
    });
  });

  test("a key may be a leaf and a branch; JSON in a text is a branch too; no key is special", () => {
    const tree = treeOf({ input: "a", "input.value": "b", metadata: '{"x": {"y": 1}}', "c.0": 7 });
    expect(at(tree, "input")).toBe("a");
    expect(at(tree, "input.value")).toBe("b");
    expect(at(tree, "metadata.x.y")).toBe(1);
    expect(listAt(tree, "c")).toEqual([7]);
    treeOf(JSON.parse('{"__proto__.polluted": 1, "constructor.prototype.x": 2}'));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    let deep: unknown = 1;
    for (let i = 0; i < 5000; i++) deep = { a: deep };
    expect(() => treeOf(deep)).not.toThrow();
  });
});

describe("what was asked and answered", () => {
  const asked = (attributes: object) => askedAt(treeOf(attributes), defaultMapping.prompt)?.text;
  const answered = (attributes: object) => answeredAt(treeOf(attributes), defaultMapping.answer);
  test("in the order of the conventions", () => {
    expect(asked({ "input.value": '{"query": "q", "k": 5}' })).toBe("q");
    expect(asked({ "input.value": '{"messages": [{"role": "human", "content": "m"}]}' })).toBe("m");
    expect(asked({ "input.value": '{"k": 5}' })).toBe('{"k": 5}');
    expect(asked({ "input.value": "[not JSON" })).toBe("[not JSON");
    expect(asked({ "input.value": "[1, 2]" })).toBe("[1, 2]");
    expect(asked({ "llm.prompts.0.prompt.text": "p" })).toBe("p");
    const template = {
      template: "Say {word} to {{ who }}",
      variables: '{"word": "hi", "who": "me"}',
    };
    expect(asked({ llm: { prompt_template: template } })).toBe("Say hi to me");
    expect(asked({ "input.query": "q" })).toBe("q");
    expect(asked({ "input.value": "  " })).toBeUndefined();
    expect(
      answered({
        "output.value": "x",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "y",
      }),
    ).toEqual({ text: "y" });
    expect(answered({ "output.value": { agent: "a", n: 1 } })).toEqual({
      text: '{"agent":"a","n":1}',
    });
    expect(answered({ "output.decision": "d" })).toEqual({ text: "d" });
  });

  test("parts of messages, and what is no text", () => {
    const contents = (...parts: object[]) => ({
      llm: { input_messages: [{ message: { role: "user", contents: parts } }] },
    });
    const text = (text: string) => ({ message_content: { type: "text", text } });
    expect(asked(contents(text("a"), text("b")))).toBe("a\nb");
    expect(asked(contents(text("a"), { message_content: { type: "image", image: {} } })))
      .toBeUndefined();
  });
});

describe("verdicts", () => {
  const says = (note: object, mapping: Mapping = defaultMapping) => {
    const verdict = verdictOf(noteOf(note)!, mapping);
    return typeof verdict === "string" ? verdict : verdict.approved;
  };
  test("by label, else by score; the label wins", () => {
    expect(says(human("Approved"))).toBe(true);
    expect(says(human("thumbs_down"))).toBe(false);
    expect(says(human(undefined, 0.5))).toBe(true);
    expect(says(human(undefined, 0.49))).toBe(false);
    expect(says(human("rejected", 0.9))).toBe(false);
    expect(says(human("dunno"))).toBe("neither label nor score decides");
    expect(says(human("dunno", 1))).toBe(true);
    const how = (conflict: string) => parseMapping(`conflict: ${conflict}`, "m.yaml");
    expect(says(human("rejected", 0.9), how("score_wins"))).toBe(true);
    expect(says(human("rejected", 0.9), how("skip"))).toBe("label and score disagree");
  });
  test("who and what counts", () => {
    expect(says(human("approved", 1, { name: "note" }))).toBe("free note");
    expect(says(human("approved", 1, { annotator_kind: "LLM" }))).toBe("other kind of annotator");
    expect(says(human("approved", 1, { name: "anything" }))).toBe(true);
    expect(says({ name: "user_feedback", label: "approved" })).toBe(true);
    expect(says({ name: "toxicity", score: 1 })).toBe("other name");
    expect(says(human("clicked", 1, { name: "result_click" }))).toBe("of a document");
    const only = parseMapping("annotation: [mine]", "m.yaml");
    expect(says(human("approved"), only)).toBe("other name");
  });
});

describe("rows", () => {
  const io = (input: string, output: string) => ({ "input.value": input, "output.value": output });

  test("conversations stay conversations, with their calls of tools", () => {
    const message = (i: number, role: string, content: string) => ({
      [`llm.input_messages.${i}.message.role`]: role,
      [`llm.input_messages.${i}.message.content`]: content,
    });
    const talk = {
      ...message(0, "system", "Be brief."),
      ...message(1, "user", "rain?"),
      "llm.output_messages.0.message.role": "assistant",
      "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "weather",
      "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments":
        '{"place": "Oslo"}',
    };
    const { sft, dpo } = made([span("a", talk, [human("approved")])]);
    expect(bare(sft)).toEqual([{
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "rain?" },
        {
          role: "assistant",
          content: "",
          tool_calls: [{
            type: "function",
            function: { name: "weather", arguments: { place: "Oslo" } },
          }],
        },
      ],
    }]);
    expect(dpo).toEqual([]);
    const agent = made([span("a", talk, [human("approved", 1, { metadata: { output: "wet" } })])], {
      agent: "routing",
    });
    expect(bare(agent.sft)).toEqual([{
      instruction: "Route the following query to the appropriate agent",
      input: "rain?",
      output: "wet",
    }]);
  });

  test("agents are known by a word in the name of the span", () => {
    const named = (name: string) => span(name, io("q", name), [human("approved")], { name });
    const spans = ["RoutingAgent.route", "profile-selection", "EntityExtraction", "chat"].map(
      named,
    );
    const names = (agent: ExtractOptions["agent"]) =>
      made(spans, { agent }).sft.map((r) => r.output);
    expect(names("routing")).toEqual(["RoutingAgent.route"]);
    expect(names("profile_selection")).toEqual(["profile-selection"]);
    expect(names("entity_extraction")).toEqual(["EntityExtraction"]);
    expect(names(undefined).length).toBe(4);
  });

  test("what cannot be used is counted by its reason", () => {
    const found = made([
      span("1", io("q", "a"), []),
      span("2", io("q", "a"), [human("approved")], { status_code: "ERROR" }),
      span("3", { ...io("q", "a"), "llm.finish_reason": "length" }, [human("approved")]),
      span("4", { "output.value": "a" }, [human("approved")]),
      span("5", { "input.value": "q" }, [human("approved")]),
      span("6", io("q", "a"), [human("approved")]),
      span("7", io("q", "a"), [human("approved")]),
      span("8", io("q", "a"), [human("approved")], { span_kind: "TOOL" }),
      span("9", io("q", "a"), [human("approved", 1, { annotator_kind: "CODE" })]),
      // What a person wrote instead of an answer that failed is good.
      span("10", io("q10", "a"), [human("approved", 1, { metadata: { response: "b" } })], {
        status_code: "ERROR",
      }),
      span("11", io("q11", "a"), [
        human("approved", 1, { id: "same" }),
        human("rejected", 0, { id: "same" }),
      ]),
    ]);
    expect(bare(found.sft)).toEqual([
      { instruction: "q", input: "", output: "a" },
      { instruction: "q10", input: "", output: "b" },
    ]);
    expect(reasons(found)).toEqual([
      "1 annotation: approves and rejects under one id",
      "1 annotation: other kind of annotator",
      "1 sft: the same prompt and answer again",
      "1 span: it ended with an error",
      "1 span: no answer was found",
      "1 span: no prompt was found",
      "1 span: not annotated",
      "1 span: of the kind TOOL",
      "1 span: the answer was cut at its longest length",
      "2 span: no annotation decides",
    ]);
  });

  test("pairs on one span, and on two with the same prompt", () => {
    const spans = [
      span("1", io("q", "good"), [human("approved", 0.9)]),
      span("2", io("q ", "bad"), [human("rejected", 0.1)]),
      span("3", io("q", "worse"), [human("rejected", 0)]),
      // One likes it, another does not: it teaches nothing.
      span("4", io("q", "mixed"), [human("approved", 1)]),
      span("5", io("q", "mixed"), [human("rejected", 0)]),
      span("6", io("r", "bad"), [
        human("rejected", 0, { metadata: { corrected_output: "right" } }),
      ]),
    ];
    const { dpo, sft } = made(spans);
    const order = (rows: object[]) => rows.map((row) => JSON.stringify(row)).sort();
    expect(order(bare(dpo))).toEqual(order([
      { prompt: "q", chosen: "good", rejected: "bad" },
      { prompt: "q", chosen: "good", rejected: "worse" },
      { prompt: "r", chosen: "right", rejected: "bad" },
    ]));
    expect(dpo.find(({ rejected }) => rejected === "worse")!.metadata).toMatchObject({
      span_id: "1",
      rejected_span_id: "3",
      chosen_score: 0.9,
      rejected_score: 0,
    });
    expect(sft.map(({ output }) => output)).toEqual(["good", "mixed", "right"]);
    const by = (pair_by: string) =>
      made(spans, { mapping: parseMapping(`pair_by: ${pair_by}`, "m") });
    expect(bare(by("span").dpo)).toEqual([{ prompt: "r", chosen: "right", rejected: "bad" }]);
    expect(by("input").dpo.every(({ prompt }) => prompt === "q")).toBe(true);
    // The same spans give the same bytes.
    expect(JSON.stringify(made(spans).dpo)).toBe(JSON.stringify(dpo));
  });

  test("annotations that came apart find their spans", () => {
    const spans = [span("1", io("q", "a"), []), span("2", io("r", "b"), [], { parent_id: "1" })];
    const skips = new Skips();
    const notes = [
      noteOf({ span_id: "2", ...human("approved") })!,
      noteOf({ trace_id: "t-1", ...human("rejected") })!,
      noteOf({ span_id: "3", ...human("approved") })!,
    ];
    const [first, second] = attach(spans, notes, () => true, skips);
    expect(first!.notes.map(({ label }) => label)).toEqual(["rejected"]);
    expect(second!.notes.map(({ label }) => label)).toEqual(["approved"]);
    expect(skips.count("annotation", "its span is not there")).toBe(1);
  });
});

describe("triplets", () => {
  const documents = (scores: number[]) =>
    Object.fromEntries(scores.flatMap((score, i) => [
      [`retrieval.documents.${i}.document.content`, `text ${i}`],
      [`retrieval.documents.${i}.document.id`, `d${i}`],
      [`retrieval.documents.${i}.document.score`, score],
    ]));
  const search = (notes: object[], more: object = {}, attributes: object = {}) =>
    span(
      "s",
      { "input.value": "query", ...documents([0.9, 0.8, 0.4, 0.2]), ...attributes },
      notes,
      {
        span_kind: "RETRIEVER",
        name: "search",
        ...more,
      },
    );
  const click = (id: string) => ({ name: "result_click", metadata: { document_id: id } });
  const negatives = (notes: object[], options: Partial<ExtractOptions> = {}) =>
    made([search(notes)], options).triplets.map(({ positive, negative }) => [positive, negative]);

  test("each strategy has its own hard negatives", () => {
    expect(negatives([click("d1")])).toEqual([["text 1", "text 0"]]);
    expect(negatives([click("d1")], { negatives: 5 }).map(([, n]) => n)).toEqual([
      "text 0",
      "text 2",
      "text 3",
    ]);
    expect(negatives([click("d1")], { negatives: 5, topK: 2 }).length).toBe(2);
    const above = { strategy: "above_threshold", negatives: 5 } as const;
    expect(negatives([click("d1")], above)).toEqual([["text 1", "text 0"]]);
    const random = (seed: number) =>
      negatives([click("d1")], { strategy: "random_sampling", negatives: 3, seed }).join();
    expect(random(1)).toBe(random(1));
    expect(new Set([1, 2, 3, 4, 5, 6].map(random)).size).toBeGreaterThan(1);
  });

  test("relevance by score, place, label and document annotations", () => {
    const relevance = (score: number, more: object) => ({
      name: "result_relevance",
      score,
      ...more,
    });
    expect(negatives([relevance(0.7, { metadata: { position: 2 } })])[0]![0]).toBe("text 2");
    expect(negatives([relevance(0.69, { metadata: { position: 2 } })])).toEqual([]);
    expect(negatives([{ name: "result_click", label: "d3" }])[0]![0]).toBe("text 3");
    expect(negatives([relevance(1, { metadata: { rank: 1 } })])[0]![0]).toBe("text 0");
    const judged = {
      document_annotations: [
        { name: "relevance", annotator_kind: "HUMAN", label: "relevant", document_position: 3 },
      ],
    };
    const { triplets } = made([search([], judged)]);
    expect(bare(triplets)).toEqual([{ anchor: "query", positive: "text 3", negative: "text 0" }]);
    expect(triplets[0]!.metadata).toMatchObject({ search_id: "s", span_id: "s", trace_id: "t-s" });
  });

  test("searches about something else, and those of which nothing is known", () => {
    const of = (attributes: object, name = "search") =>
      made([search([click("d0")], { name }, attributes)], { modality: "video" }).triplets.length;
    expect(of({ modality: "video" })).toBe(1);
    expect(of({ modality: "image" })).toBe(0);
    expect(of({}, "video_search")).toBe(1);
    expect(of({})).toBe(0);
    expect(reasons(made([search([])]))).toContain("1 triplet: no document was judged");
  });
});

test("where the server is, and when", () => {
  const env = { PHOENIX_COLLECTOR_ENDPOINT: "https://c/v1/traces", PHOENIX_HOST: "h" };
  expect(endpointOf({ ...env, PHOENIX_ENDPOINT: "https://e" }).base).toBe("https://e");
  expect(endpointOf(env).base).toBe("https://c");
  expect(endpointOf({ PHOENIX_HOST: "h" }).base).toBe("http://h:6006");
  expect(endpointOf({}).base).toBe("http://localhost:6006");
  expect(endpointOf(env, "https://asked").base).toBe("https://asked");
  const now = Date.parse("2026-11-22T12:00:00Z");
  expect(momentOf("36h", now)).toBe("2026-11-21T00:00:00.000Z");
  expect(momentOf("2026-11-01", now)).toBe("2026-11-01T00:00:00.000Z");
  expect(momentOf("tomorrow", now)).toBeUndefined();
});
