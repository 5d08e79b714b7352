import { createHash } from "node:crypto";
import { style } from "./style.ts";
import { escape } from "./svg.ts";

/**
 * One page that needs nothing else: no script, no font, no network. Its content security policy allows
 * this style sheet by its hash and forbids all else, so that text from models and data, which is escaped
 * besides, can do nothing.
 */
export function page(title: string, body: string): string {
  const hash = createHash("sha256").update(style).digest("base64");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'">
<title>${escape(title)} · whet</title>
<style>${style}</style>
</head>
<body><main>
${body}
</main></body>
</html>
`;
}
