import { createHash } from "node:crypto";
import { style } from "./style.ts";
import { escape } from "./svg.ts";

/**
 * One page that needs nothing else: no font, no network, and a script only where one is given. Its content
 * security policy allows style sheet and script by their hashes and forbids all else, so that text from
 * models and data, which is escaped besides, can do nothing.
 * @param more a script, and style beside that of all pages
 */
export function page(
  title: string,
  body: string,
  more: { readonly script?: string; readonly style?: string } = {},
): string {
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const look = style + (more.style ?? ""), { script } = more;
  const policy = `default-src 'none'; style-src ${hash(look)}; ` +
    (script ? `script-src ${hash(script)}; ` : "") + "base-uri 'none'; form-action 'none'";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escape(title)} · whet</title>
<style>${look}</style>
</head>
<body><main>
${body}
</main>${script ? `<script>${script}</script>` : ""}</body>
</html>
`;
}
