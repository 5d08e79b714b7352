/**
 * Uploads a folder to the Hugging Face Hub: a repository, one commit. Large files go ahead of it by Git
 * LFS (huggingface.co/docs/hub/api, github.com/git-lfs/git-lfs/blob/main/docs/api), and those that the
 * Hub has already are not sent again, so that a push that was cut off goes on where it was.
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { Exit, Fail } from "../base/fail.ts";
import { sha256File } from "../base/sha256.ts";
import { ask, type Hub, Refused } from "./hub.ts";

export interface LocalFile {
  /** Its path in the repository, with slashes. */
  readonly path: string;
  readonly from: string;
  readonly size: number;
}

/** Of use on this machine only: to resume, to look into. */
const LEFT = new Set(["checkpoints", "predictions", "node_modules"]);
const leftOut = (name: string) =>
  name.startsWith(".") || LEFT.has(name) || name.endsWith(".log") || name.includes(".tmp-");

/**
 * The files of a folder that are uploaded, in order of their paths: all but hidden ones, logs,
 * checkpoints and predictions of a run, and what matches `exclude`. Links are not followed.
 *
 * @throws Fail (data) (usage) where there is no such folder or nothing in it
 */
export function filesOf(source: string, exclude: readonly string[] = []): LocalFile[] {
  const there = statSync(source, { throwIfNoEntry: false });
  if (!there) {
    throw new Fail(`there is no ${source}`, {
      fix: `check the path: ls -l ${source}`,
      exit: Exit.data,
    });
  }
  if (there.isFile()) return [{ path: basename(source), from: source, size: there.size }];
  const globs = exclude.map((pattern) => new Bun.Glob(pattern)), found: LocalFile[] = [];
  const walk = (dir: string, prefix: string) => {
    for (const name of readdirSync(dir)) {
      const from = join(dir, name), path = prefix + name;
      if (leftOut(name) || globs.some((glob) => glob.match(path) || glob.match(name))) continue;
      const stat = lstatSync(from);
      if (stat.isDirectory()) walk(from, `${path}/`);
      else if (stat.isFile()) found.push({ path, from, size: stat.size });
    }
  };
  walk(source, "");
  if (found.length === 0) {
    throw new Fail(`${source} holds nothing to upload`, {
      why: existsSync(join(source, "checkpoints")) ? "a run that has not finished?" : undefined,
      fix: "name the folder that whet export or whet train wrote",
      exit: Exit.usage,
    });
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}

export interface PushOptions {
  /** "user/name". */
  readonly repo: string;
  readonly private: boolean;
  readonly message: string;
  readonly onProgress?: (sent: number, of: number, path: string) => void;
}

export interface Pushed {
  readonly url: string;
  /** Of the commit; undefined where nothing had changed. */
  readonly commit?: string;
  readonly sent: readonly string[];
  readonly unchanged: readonly string[];
  /** Bytes that were uploaded. */
  readonly bytes: number;
}

/** How many files the Hub is asked about at once. */
const ASKED = 100;
const PARALLEL = 4;
/** How often storage is asked for anew when it refuses. */
const ROUNDS = 3;

const gitHash = (content: Uint8Array) =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

interface Mode {
  readonly path: string;
  readonly uploadMode: "lfs" | "regular";
  readonly shouldIgnore?: boolean;
  /** Of what the repository holds under this path. */
  readonly oid?: string | null;
}

/**
 * Makes the repository if there is none, uploads what it lacks, and commits.
 *
 * @throws Fail (authorisation) (network), or (usage) where a file holds the token
 */
export async function push(hub: Hub, files: readonly LocalFile[], o: PushOptions): Promise<Pushed> {
  const [organization, name] = o.repo.split("/");
  const api = (path: string) => new URL(`api/${path}`, hub.url);
  const json = { "content-type": "application/json" };
  const create = { type: "model", name, organization, private: o.private };
  await ask(hub, api("repos/create"), {
    method: "POST",
    headers: json,
    body: JSON.stringify(create),
    also: [409], // it is there
    to: `create ${o.repo}`,
  });
  const modes = new Map<string, Mode>();
  for (let at = 0; at < files.length; at += ASKED) {
    const asked = await Promise.all(
      files.slice(at, at + ASKED).map(async ({ path, from, size }) => ({
        path,
        size,
        sample: Buffer.from(await Bun.file(from).slice(0, 512).bytes()).toString("base64"),
      })),
    );
    const { text } = await ask(hub, api(`models/${o.repo}/preupload/main`), {
      method: "POST",
      headers: json,
      body: JSON.stringify({ files: asked }),
      to: `begin the upload to ${o.repo}`,
    });
    for (const mode of (parsed(text) as { files: Mode[] }).files) modes.set(mode.path, mode);
  }

  const lines: unknown[] = [{ key: "header", value: { summary: o.message, description: "" } }];
  const sent: string[] = [], unchanged: string[] = [];
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let bytes = 0, done = 0;
  for (const file of files) {
    const { path, from, size } = file, mode = modes.get(path);
    if (mode?.shouldIgnore) continue;
    const tell = (more: number) => o.onProgress?.(done + more, total, path);
    tell(0);
    if (mode?.uploadMode === "lfs") {
      const { sha256 } = await sha256File(from);
      if (mode.oid === sha256) unchanged.push(path);
      else {
        if (await uploadLarge(hub, o.repo, file, sha256, tell)) bytes += size;
        sent.push(path);
        lines.push({ key: "lfsFile", value: { path, algo: "sha256", oid: sha256, size } });
      }
    } else {
      const content = readFileSync(from);
      if (content.includes(hub.token)) {
        throw new Fail(`${path} holds your token of the Hub`, {
          why: "everybody could read it there",
          fix: "take it out, or leave the file out with --exclude",
          exit: Exit.usage,
        });
      }
      if (mode?.oid === gitHash(content)) unchanged.push(path);
      else {
        bytes += size;
        sent.push(path);
        const value = { path, encoding: "base64", content: content.toString("base64") };
        lines.push({ key: "file", value });
      }
    }
    done += size;
  }
  const url = new URL(o.repo, hub.url).href;
  if (sent.length === 0) return { url, sent, unchanged, bytes };
  const { text } = await ask(hub, api(`models/${o.repo}/commit/main`), {
    method: "POST",
    headers: { "content-type": "application/x-ndjson" },
    body: lines.map((line) => JSON.stringify(line)).join("\n"),
    to: `commit to ${o.repo}`,
  });
  const { commitOid } = parsed(text) as { commitOid?: string };
  return { url, commit: commitOid, sent, unchanged, bytes };
}

interface Action {
  readonly href: string;
  readonly header?: Readonly<Record<string, string>>;
}
interface LfsObject {
  readonly error?: { readonly code: number; readonly message: string };
  readonly actions?: { readonly upload?: Action; readonly verify?: Action };
}

const LFS = {
  accept: "application/vnd.git-lfs+json",
  "content-type": "application/vnd.git-lfs+json",
};

/** Uploads a file by LFS. @returns false where the Hub had its content already */
async function uploadLarge(
  hub: Hub,
  repo: string,
  file: LocalFile,
  oid: string,
  tell: (sent: number) => void,
): Promise<boolean> {
  const { path, size } = file;
  let refused: Refused | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    const { text } = await ask(hub, new URL(`${repo}.git/info/lfs/objects/batch`, hub.url), {
      method: "POST",
      headers: LFS,
      body: JSON.stringify({
        operation: "upload",
        transfers: ["basic", "multipart"],
        hash_algo: "sha_256",
        ref: { name: "main" },
        objects: [{ oid, size }],
      }),
      to: `upload ${path}`,
    });
    const object = (parsed(text) as { objects: LfsObject[] }).objects[0];
    if (!object || object.error) {
      throw new Fail(`the Hub does not take ${path}`, {
        why: object?.error?.message ?? "its answer names no file",
        exit: Exit.network,
      });
    }
    const { upload, verify } = object.actions ?? {};
    if (!upload) return false;
    try {
      const put = upload.header?.chunk_size ? inParts : inOne;
      await put(hub, upload, file, oid, tell);
      if (verify) {
        await ask(hub, new URL(verify.href), {
          method: "POST",
          headers: { ...LFS, ...verify.header },
          body: JSON.stringify({ oid, size }),
          to: `check ${path}`,
        });
      }
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused = error; // its address may have run out
    }
  }
  throw new Fail(`storage refuses ${path}`, {
    why: refused?.message,
    fix: "run the same command again: what has arrived is not sent twice",
    exit: Exit.network,
  });
}

type Put = (
  hub: Hub,
  action: Action,
  file: LocalFile,
  oid: string,
  tell: (sent: number) => void,
) => Promise<void>;

const inOne: Put = async (hub, { href, header }, { from, path, size }, _oid, tell) => {
  const body = Bun.file(from);
  await ask(hub, new URL(href), { method: "PUT", headers: header, body, to: `upload ${path}` });
  tell(size);
};

/** The addresses of the parts are header fields with numbers for names; the upload's own ends it. */
const inParts: Put = async (hub, { href, header = {} }, { from, path, size }, oid, tell) => {
  const length = Number(header.chunk_size);
  const numbers = Object.keys(header).filter((key) => /^\d+$/.test(key)).map(Number)
    .sort((a, b) => a - b);
  if (!(length > 0) || numbers.length !== Math.ceil(size / length)) {
    throw new Fail(`the Hub offers ${numbers.length} parts for ${path}`, {
      why: `${size} bytes in parts of ${header.chunk_size} are another number`,
      exit: Exit.network,
    });
  }
  const address = new Map(Object.entries(header).map(([key, value]) => [Number(key), value]));
  const etags = new Map<number, string>(), queue = [...numbers];
  let sent = 0;
  const worker = async () => {
    for (let number = queue.shift(); number !== undefined; number = queue.shift()) {
      const body = Bun.file(from).slice((number - 1) * length, Math.min(size, number * length));
      const to = `upload part ${number} of ${path}`;
      const { headers } = await ask(hub, new URL(address.get(number)!), {
        method: "PUT",
        body,
        to,
      });
      const etag = headers.get("etag");
      if (!etag) {
        throw new Fail(`storage did not confirm part ${number} of ${path}`, { exit: Exit.network });
      }
      etags.set(number, etag);
      tell(sent += body.size);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  await ask(hub, new URL(href), {
    method: "POST",
    headers: LFS,
    body: JSON.stringify({
      oid,
      parts: numbers.map((partNumber) => ({ partNumber, etag: etags.get(partNumber)! })),
    }),
    to: `end the upload of ${path}`,
  });
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Fail("the Hub's answer is not JSON", {
      why: "something between here and the Hub answers in its place",
      fix: "check HF_ENDPOINT and the proxy",
      exit: Exit.network,
    });
  }
}
