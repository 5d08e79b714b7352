import { Exit, Fail } from "../../base/fail.ts";
import { suggest } from "../../base/text.ts";
import { type Client, Missing } from "./client.ts";
import type { Skips } from "./skips.ts";
import { type LooseNote, noteOf, type Span, spanOf } from "./span.ts";
import { listAt, nameAt, treeOf } from "./tree.ts";

/** What is to be read of a project. */
export interface PullOptions {
  readonly project?: string;
  /** Spans that began then or later, ISO 8601. */
  readonly since?: string;
  /** Spans that began before. */
  readonly until?: string;
  /** Most spans, the newest first. */
  readonly limit: number;
  /** Spans whose annotations are of interest. */
  readonly wanted: (span: Span) => boolean;
  /** Whether to read no further. */
  readonly stopped?: () => boolean;
  readonly onPage?: (what: "spans" | "annotations", n: number) => void;
}

export interface Pulled {
  readonly project: string;
  readonly spans: readonly Span[];
  readonly notes: readonly LooseNote[];
  /** Annotation configurations of the server: which labels are good. */
  readonly configs: readonly unknown[];
  /** Whether there were more spans than `limit`. */
  readonly more: boolean;
}

const PAGE = 1000;
/** Ids in one request: they are part of its address, which may not become too long. */
const IDS = 100;

/**
 * Reads the spans of a project and what was noted on them and on their traces.
 * @throws Fail (usage) for an unknown project, naming those there are; (network) (authorisation)
 */
export async function pull(client: Client, options: PullOptions, skips: Skips): Promise<Pulled> {
  const { limit, since, until, wanted, onPage, stopped = () => false } = options;
  const project = options.project ?? await onlyProject(client);
  const root = `v1/projects/${encodeURIComponent(project)}`;
  const spans = new Map<string, Span>();
  let more = false;
  try {
    const query: [string, string][] = [];
    if (since) query.push(["start_time", since]);
    if (until) query.push(["end_time", until]);
    for await (const page of client.pages(`${root}/spans`, query, Math.min(PAGE, limit))) {
      for (const one of page) {
        const span = spanOf(one);
        if (span === undefined || typeof span === "string") {
          skips.add("span", span ?? "it has no attributes");
        } else if (spans.size < limit) spans.set(span.id, span);
        else more = true;
      }
      onPage?.("spans", spans.size);
      if (more || stopped()) break;
    }
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    throw await unknownProject(client, project);
  }
  const list = [...spans.values()], about = list.filter(wanted), notes: LooseNote[] = [];
  const read = async (path: string, name: string, ids: readonly string[]) => {
    for (let from = 0; from < ids.length && !stopped(); from += IDS) {
      const query = ids.slice(from, from + IDS).map((id): [string, string] => [name, id]);
      for await (const page of client.pages(`${root}/${path}`, query, PAGE)) {
        for (const one of page) {
          const note = noteOf(one);
          if (note?.spanId ?? note?.traceId) notes.push(note!);
          else skips.add("annotation", "it cannot be read");
        }
        onPage?.("annotations", notes.length);
      }
    }
  };
  await read("span_annotations", "span_ids", about.map(({ id }) => id));
  /** What was noted on documents that were found is told by GraphQL alone. */
  async function readDocumentNotes() {
    const searches = about.filter(({ node, kind }) =>
      node !== undefined && (kind === "RETRIEVER" || kind === "RERANKER")
    );
    for (let from = 0; from < searches.length && !stopped(); from += NODES) {
      const part = searches.slice(from, from + NODES);
      const data = await client.query(documentQuery(part.map(({ node }) => node!)));
      for (const [i, { id }] of part.entries()) {
        for (const one of listAt(data, `s${i}.documentEvaluations`) ?? []) {
          const note = noteOf(one);
          if (note?.position !== undefined) notes.push({ ...note, spanId: id });
        }
      }
      onPage?.("annotations", notes.length);
    }
  }
  const traces = [...new Set(about.map(({ traceId }) => traceId))];
  await orNothing(read("trace_annotations", "trace_ids", traces));
  await orNothing(readDocumentNotes());
  const configs: unknown[] = [];
  await orNothing((async () => {
    for await (const page of client.pages("v1/annotation_configs", [], 100)) {
      configs.push(...page.map((one) => treeOf(one)));
    }
  })());
  return { project, spans: list, notes, configs, more };
}

/** Spans in one query of GraphQL. */
const NODES = 50;

const documentQuery = (nodes: readonly string[]) =>
  `{${
    nodes.map((node, i) =>
      `s${i}: node(id: ${JSON.stringify(node)}) { ... on Span { documentEvaluations ` +
      "{ name annotatorKind label score documentPosition } } }"
    ).join("\n")
  }}`;

/** What older servers do not have is not there. */
async function orNothing(request: Promise<void>): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
  }
}

/** Names of the projects there are. @throws Fail (network) (authorisation) */
export async function projectsOf(client: Client): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const page of client.pages("v1/projects", [], 100)) {
      names.push(...page.flatMap((one) => nameAt(one, "name") ?? []));
    }
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    throw new Fail(`${client.address} is no Phoenix, or one before version 8`, {
      why: "it has no /v1/projects",
      fix: "check the address: export PHOENIX_ENDPOINT=https://HOST",
      exit: Exit.network,
    });
  }
  return names;
}

async function onlyProject(client: Client): Promise<string> {
  const names = await projectsOf(client);
  if (names.length === 1) return names[0]!;
  throw new Fail("which project?", {
    why: names.length === 0
      ? `${client.address} has no project`
      : `${client.address} has ${names.join(", ")}`,
    fix: `--project ${names[0] ?? "NAME"}, or export PHOENIX_PROJECT=NAME`,
    exit: Exit.usage,
  });
}

async function unknownProject(client: Client, project: string): Promise<Fail> {
  const names = await projectsOf(client);
  const near = suggest(project, names);
  return new Fail(`${client.address} has no project "${project}"`, {
    why: names.length === 0 ? "it has none at all" : `it has ${names.join(", ")}`,
    fix: near ?? names[0] ? `--project ${near ?? names[0]}` : "send spans to it first",
    exit: Exit.usage,
  });
}
