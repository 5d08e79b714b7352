/** Words and numbers as people read them: sizes, durations, sparklines, and the nearest known word. */

/**
 * The candidate nearest to `word` by edits (insert, delete, replace, swap of neighbours), or undefined
 * where none is near enough to be worth suggesting (more than a third of the letters differ).
 */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    if (candidate === word) return candidate;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Edits between two words, neighbour swaps counted as one; stops counting at `limit`. */
export function editDistance(a: string, b: string, limit = Infinity): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, before[j - 2]! + 1);
      }
      row.push(cost);
    }
    [before, above] = [above, row];
  }
  return above[b.length]!;
}

/** "1.5 GiB", "312 KiB", "17 B". */
export function humanBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/**
 * Bytes of "16GB" (10^9), "16GiB" (2^30) or "8e9"; undefined for anything else, zero, and a number without
 * a unit that is too small to mean bytes.
 */
export function parseBytes(text: string): number | undefined {
  const found = /^(\d+\.?\d*|\.\d+)(e\d+)?\s*(?:([KMGT])(i?)B?|B)?$/i.exec(text.trim());
  if (!found) return undefined;
  const [, number, exponent = "", unit, binary] = found;
  const scale = unit ? (binary ? 1024 : 1000) ** ("KMGT".indexOf(unit.toUpperCase()) + 1) : 1;
  const bytes = Math.floor(Number(number + exponent) * scale);
  return Number.isSafeInteger(bytes) && bytes >= 1e6 ? bytes : undefined;
}

/** "0.8 s", "42 s", "3 min 05 s", "2 h 07 min", "1 d 3 h". */
export function humanSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** 12345678 -> "12,345,678". */
export function thousands(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Four significant digits, never longer than it needs to be: 0.0002 -> "2e-4", 1.25 -> "1.25". */
export function short(n: number): string {
  if (!Number.isFinite(n)) return String(n);
  if (n === 0) return "0";
  const magnitude = Math.abs(n);
  if (magnitude >= 1e-3 && magnitude < 1e6) return String(Number(n.toPrecision(4)));
  return n.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
}

/** "1 row", "3 rows". */
export function plural(n: number, noun: string, many = `${noun}s`): string {
  return `${thousands(n)} ${n === 1 ? noun : many}`;
}

/** At most `width` characters on one line, with … where something was left out. */
export function excerpt(text: string, width = 80): string {
  // deno-lint-ignore no-control-regex
  const line = text.replace(/[\u0000-\u001f\u007f\u2028\u2029]+/g, " ").trim();
  return line.length <= width ? line : `${line.slice(0, width - 1).trimEnd()}…`;
}

const BLOCKS = "▁▂▃▄▅▆▇█";
const ASCII_BLOCKS = "_.-=+*#@";

/** The last values as little bars, lowest to highest, each the mean of its share of the list. */
export function sparkline(values: readonly number[], width = 16, ascii = false): string {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return "";
  const columns = Math.min(width, finite.length);
  const means = Array.from({ length: columns }, (_, i) => {
    const from = Math.floor((i * finite.length) / columns);
    const to = Math.max(from + 1, Math.floor(((i + 1) * finite.length) / columns));
    return finite.slice(from, to).reduce((sum, v) => sum + v, 0) / (to - from);
  });
  const low = Math.min(...means);
  const span = Math.max(...means) - low || 1;
  const glyphs = ascii ? ASCII_BLOCKS : BLOCKS;
  return means.map((v) => glyphs[Math.min(7, Math.floor(((v - low) / span) * 8))]).join("");
}

/** A bar of `width` cells filled to `fraction` (0 to 1). */
export function progressBar(fraction: number, width = 16, ascii = false): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  const [on, off] = ascii ? ["#", "-"] : ["█", "░"];
  return on.repeat(full) + off.repeat(width - full);
}

/** Columns padded to their widest cell, two spaces apart; `right` names the columns set flush right. */
export function columns(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  }
  const line = (row: readonly string[]) =>
    row.map((cell, i) => right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))
      .join("  ").trimEnd();
  return rows.map(line).join("\n");
}

/** Words broken into lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line ? `${line} ${word}` : word;
  }
  if (line) lines.push(line);
  return lines;
}

/** Two texts beside each other in a terminal of `width` columns, lines broken at blanks where there are any. */
export function beside(left: string, right: string, width: number): string {
  const half = Math.floor((width - 3) / 2);
  const [a, b] = [left, right].map((text) =>
    text.split("\n").flatMap((line) => broken(line, half))
  );
  return Array.from({ length: Math.max(a!.length, b!.length) }, (_, i) => {
    const cell = a![i] ?? "";
    return `${cell}${" ".repeat(half - Bun.stringWidth(cell))} │ ${b![i] ?? ""}`.trimEnd();
  }).join("\n");
}

/** A line in pieces that take at most `width` columns each. */
function broken(line: string, width: number): string[] {
  const pieces: string[] = [];
  let piece = "", taken = 0, blank = 0;
  for (const c of line) {
    const wide = Bun.stringWidth(c);
    if (taken + wide > width) {
      const cut = blank > 0 && c !== " " ? blank : piece.length;
      pieces.push(piece.slice(0, cut).trimEnd());
      piece = piece.slice(cut).trimStart();
      [taken, blank] = [Bun.stringWidth(piece), 0];
      if (c === " ") continue;
    }
    piece += c;
    taken += wide;
    if (c === " ") blank = piece.length;
  }
  return [...pieces, piece];
}
