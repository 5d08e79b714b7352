import { Exit, Fail } from "../base/fail.ts";
import { humanBytes, plural } from "../base/text.ts";
import { pushSettings } from "../settings/use.ts";
import { command } from "./command.ts";

export const push = command({
  examples: [
    "whet push ./run me/my-adapter --private",
    "whet push ./exported me/my-model --dry-run",
    "whet push model-q4.gguf me/my-model-gguf",
  ],
  details:
    "Uploads a folder or file to the Hugging Face Hub as one commit; the repository is made where there " +
    "is none. Hidden files, logs, checkpoints and predictions stay here; --dry-run lists what goes. What " +
    "the Hub has already is not sent again: after an interruption the same command goes on. The token " +
    "comes from HF_TOKEN, HF_TOKEN_PATH or the token file of the Hub's own tools; HF_ENDPOINT names " +
    "another Hub.",
  settings: pushSettings,
  dryRun: true,
  async run({ source, repo, private: hidden, message, exclude, dry_run, offline }, io) {
    const [{ filesOf, push }, { hubOf }] = await Promise.all([
      import("../remote/push.ts"),
      import("../remote/hub.ts"),
    ]);
    if (!/^[\w.-]+\/[\w.-]+$/.test(repo) || /(^|\/)[.-]|--|\.\./.test(repo)) {
      throw new Fail(`${repo} is not the name of a repository`, {
        why: "it needs a user or organisation, and a name",
        fix: "as in: whet push ./run me/my-adapter",
        exit: Exit.usage,
      });
    }
    const files = filesOf(source, exclude);
    const total = files.reduce((sum, { size }) => sum + size, 0);
    if (dry_run) {
      io.result({ repo, bytes: total, files: files.map(({ path, size }) => ({ path, size })) });
      for (const { path, size } of files) io.out(`${humanBytes(size).padStart(10)}  ${path}`);
      io.out(`${humanBytes(total).padStart(10)}  in ${plural(files.length, "file")}, to ${repo}`);
      return;
    }
    const hub = { ...hubOf(process.env, offline), onRetry: (why: string) => io.note(why) };
    const pushed = await push(hub, files, {
      repo,
      private: hidden,
      message,
      onProgress: (sent, of, path) =>
        io.progress(`${Math.round((100 * sent) / Math.max(1, of))} %  ${path}`),
    });
    io.progress();
    io.result(pushed);
    const { sent, unchanged, bytes, url } = pushed;
    io.out(
      sent.length === 0
        ? `${url}  has all of it already`
        : `${url}  ${plural(sent.length, "file")}, ${humanBytes(bytes)} sent` +
          (unchanged.length > 0 ? `, ${unchanged.length} unchanged` : ""),
    );
  },
});
