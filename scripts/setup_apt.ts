export interface AptFile {
  /** True for the stanza format of *.sources, false for the one-line format of *.list. */
  readonly deb822: boolean;
  readonly text: string;
}

/**
 * An apt source for `<suite>-backports`, made from the source that `suite` already comes from: the
 * same address, keys and options. "present" when there is one; undefined when `suite` is unknown.
 */
export function backportsSource(
  files: readonly AptFile[],
  suite: string,
): AptFile | "present" | undefined {
  const backports = `${suite}-backports`;
  let found: AptFile | undefined;
  for (const { deb822, text } of files) {
    if (deb822) {
      for (const stanza of text.split(/\n\s*\n/)) {
        const fields = stanza.split("\n").filter((line) => !line.startsWith("#"));
        const field = (name: string) => fields.findIndex((line) => line.startsWith(`${name}:`));
        const suites = fields[field("Suites")]?.slice("Suites:".length).trim().split(/\s+/) ?? [];
        if (/^Enabled:\s*no/mi.test(stanza)) continue;
        if (suites.includes(backports)) return "present";
        if (!suites.includes(suite)) continue;
        const components = field("Components");
        const lines = fields.map((line, index) => {
          if (index === field("Suites")) return `Suites: ${backports}`;
          return index === components ? "Components: main" : line;
        });
        found ??= { deb822, text: lines.join("\n").trim() + "\n" };
      }
    } else {
      for (const line of text.split("\n")) {
        const match = /^\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+/.exec(line);
        if (match?.[3] === backports) return "present";
        if (match?.[3] !== suite || !/\bmain\b/.test(line)) continue;
        found ??= { deb822, text: `deb ${match[1] ?? ""}${match[2]} ${backports} main\n` };
      }
    }
  }
  return found;
}
