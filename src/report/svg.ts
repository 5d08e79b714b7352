import { short } from "../base/text.ts";
import type { Field } from "./layers.ts";

/** A point (x, y) in the units of the data. */
export type Point = readonly [x: number, y: number];

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** How it is drawn: a thin line behind, the line that matters, marks joined by a line, or one of many others. */
  readonly look: "faint" | "line" | "marks" | "other";
  /** 1 to 4: which colour of the page. */
  readonly color: number;
}

export interface Chart {
  readonly title: string;
  readonly x: string;
  readonly series: readonly Series[];
  /** Width of the drawing in its own units, so that text has one size on every card; 1080 unless told. */
  readonly width?: number;
  /** The y axis begins at zero. */
  readonly zero?: boolean;
  /** A logarithmic y axis; points that are not above zero are left out. */
  readonly log?: boolean;
  readonly format?: (y: number) => string;
}

const HEIGHT = 250;
const LEFT = 62;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 34;
/** Most points of a line; more would not be seen. */
const MOST = 600;

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** Round numbers that cover [low, high]: 1, 2 or 5 times a power of ten apart. */
export function ticks(low: number, high: number, about = 5): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from(
    { length: last - first + 1 },
    (_, i) => Number(((first + i) * step).toPrecision(12)),
  );
}

/** Round numbers of a logarithmic axis: 1, 2, 5 times powers of ten, or powers of ten alone. */
export function logTicks(low: number, high: number): number[] {
  const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high));
  const decades = Math.log10(high / low);
  const times = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const all: number[] = [];
  for (let power = from; power <= to; power++) {
    for (const m of times) all.push(Number(`${m}e${power}`));
  }
  return all.filter((y) => y >= low * 0.999 && y <= high * 1.001);
}

/** At most about `most` points, the lowest and highest of each stretch kept, so that no spike is lost. */
export function thin(points: readonly Point[], most = MOST): readonly Point[] {
  if (points.length <= most) return points;
  const buckets = Math.floor(most / 2);
  const kept: Point[] = [];
  for (let b = 0; b < buckets; b++) {
    const from = Math.floor((b * points.length) / buckets);
    const to = Math.floor(((b + 1) * points.length) / buckets);
    let low = from;
    let high = from;
    for (let i = from + 1; i < to; i++) {
      if (points[i]![1] < points[low]![1]) low = i;
      if (points[i]![1] > points[high]![1]) high = i;
    }
    kept.push(points[Math.min(low, high)]!);
    if (low !== high) kept.push(points[Math.max(low, high)]!);
  }
  return kept;
}

/** A line chart as one SVG element; it takes its colours and fonts from the page's classes. */
export function lineChart(chart: Chart): string {
  const width = chart.width ?? 1080;
  const series = chart.series.map((s) => ({
    ...s,
    points: thin(
      s.points.filter(([x, y]) =>
        Number.isFinite(x) && Number.isFinite(y) && (!chart.log || y > 0)
      ),
    ),
  })).filter((s) => s.points.length > 0);
  if (series.length === 0) return `<p class="empty">No points to draw.</p>`;
  const all = series.flatMap((s) => s.points);
  const xs = range(all.map(([x]) => x));
  const scale = chart.log ? Math.log : (y: number) => y;
  const ys = range(all.map(([, y]) => scale(y)));
  if (chart.zero) ys.low = Math.min(0, ys.low);
  const pad = (ys.high - ys.low || Math.abs(ys.high) || 1) * 0.06;
  if (!chart.zero) ys.low -= pad;
  ys.high += pad;
  if (xs.high === xs.low) xs.high = xs.low + 1;
  const toX = (x: number) => LEFT + ((x - xs.low) / (xs.high - xs.low)) * (width - LEFT - RIGHT);
  const toY = (y: number) =>
    HEIGHT - BOTTOM - ((scale(y) - ys.low) / (ys.high - ys.low)) * (HEIGHT - TOP - BOTTOM);
  const format = chart.format ?? short;
  const levels = chart.log ? logTicks(Math.exp(ys.low), Math.exp(ys.high)) : ticks(ys.low, ys.high);
  const grid = levels.map((y) =>
    `<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${at(toY(y))}" y2="${
      at(toY(y))
    }"/>` +
    `<text class="tick" x="${LEFT - 8}" y="${at(toY(y) + 4)}" text-anchor="end">${
      escape(format(y))
    }</text>`
  );
  const below = ticks(xs.low, xs.high, width / 110).map((x) =>
    `<text class="tick" x="${at(toX(x))}" y="${HEIGHT - 14}" text-anchor="middle">${
      short(x)
    }</text>`
  );
  const lines = series.map((s) => {
    const path = s.points.map(([x, y], i) => `${i ? "L" : "M"}${at(toX(x))} ${at(toY(y))}`).join(
      "",
    );
    const line = `<path class="${s.look} c${s.color}" d="${path}"><title>${
      escape(s.name)
    }</title></path>`;
    const shown = s.look === "marks" || s.points.length === 1;
    const marks = shown
      ? s.points.map(([x, y]) =>
        `<circle class="mark c${s.color}" cx="${at(toX(x))}" cy="${at(toY(y))}" r="3.5">` +
        `<title>${escape(`${s.name}: ${format(y)} at ${chart.x} ${short(x)}`)}</title></circle>`
      )
      : [];
    return line + marks.join("");
  });
  return `<svg viewBox="0 0 ${width} ${HEIGHT}" role="img" aria-label="${escape(chart.title)}">` +
    grid.join("") + below.join("") +
    `<text class="tick" x="${width - RIGHT}" y="${HEIGHT - 1}" text-anchor="end">${
      escape(chart.x)
    }</text>` +
    lines.join("") + "</svg>";
}

/** Whether a straight axis would press most of a curve flat: it falls to less than a thirtieth. */
export function spansDecades(points: readonly Point[]): boolean {
  const values = points.map(([, y]) => y).filter((y) => y > 0);
  return values.length > 0 && Math.max(...values) > 30 * Math.min(...values);
}

/** A heat map on a logarithmic scale, darkest where a number is largest; every cell tells its number. */
export function heatMap(
  field: Field,
  names: { readonly title: string; readonly rows: string; readonly columns: string },
  width = 1080,
): string {
  const finite = field.values.flat().filter((v) => v > 0);
  if (finite.length === 0) return `<p class="empty">No numbers to draw.</p>`;
  const { low, high } = range(finite.map(Math.log));
  const left = 14 + 7 * Math.max(...field.rows.map((r) => r.length), names.rows.length);
  const tall = Math.max(9, Math.min(22, 420 / field.rows.length));
  const wide = (width - left - RIGHT) / field.columns.length;
  const height = 20 + tall * field.rows.length + 34;
  const everyRow = Math.ceil(13 / tall), everyColumn = Math.ceil(46 / wide);
  const cells = field.values.flatMap((row, r) =>
    row.map((value, c) => {
      if (!Number.isFinite(value)) return "";
      const share = value > 0 ? (Math.log(value) - low) / (high - low || 1) : 0;
      return `<rect class="cell" x="${at(left + c * wide)}" y="${at(20 + r * tall)}" width="${
        at(Math.max(1, wide - 1.5))
      }" height="${at(tall - 1.5)}" rx="2" opacity="${(0.08 + 0.92 * share).toFixed(2)}"><title>${
        escape(
          `${names.rows} ${field.rows[r]}, ${names.columns} ${field.columns[c]}: ${short(value)}`,
        )
      }</title></rect>`;
    })
  );
  const text = (x: number, y: number, anchor: string, words: string) =>
    `<text class="tick" x="${at(x)}" y="${at(y)}" text-anchor="${anchor}">${escape(words)}</text>`;
  const rows = field.rows.map((name, r) =>
    r % everyRow === 0 ? text(left - 8, 20 + r * tall + tall / 2 + 4, "end", name) : ""
  );
  const columns = field.columns.map((name, c) =>
    c % everyColumn === 0 ? text(left + (c + 0.5) * wide, height - 18, "middle", name) : ""
  );
  return `<svg viewBox="0 0 ${width} ${at(height)}" role="img" aria-label="${
    escape(names.title)
  }">` + text(left - 8, 12, "end", names.rows) + cells.join("") + rows.join("") +
    columns.join("") + text(width - RIGHT, height - 1, "end", names.columns) + "</svg>";
}

/** Two shares in [0, 1] as bars one above the other: how it was and how it is. */
export function beforeAfter(before: number | undefined, after: number | undefined): string {
  const bar = (value: number | undefined, y: number, look: string) =>
    value === undefined
      ? ""
      : `<rect class="track" x="0" y="${y}" width="240" height="9" rx="4.5"/>` +
        `<rect class="${look}" x="0" y="${y}" width="${
          at(Math.max(4, 240 * clamp(value)))
        }" height="9" rx="4.5"/>`;
  return `<svg class="bars" viewBox="0 0 240 24" aria-hidden="true">` +
    bar(before, 1, "was") + bar(after, 14, "is") + "</svg>";
}

/** A share in [0, 1] as a bar, that of before as a thin one above, its interval as a whisker. */
export function shareBar(
  share: number,
  before?: number,
  interval?: readonly [low: number, high: number],
): string {
  const x = (value: number) => at(200 * clamp(value));
  const was = before === undefined
    ? ""
    : `<rect class="was" x="0" y="1" width="${x(before)}" height="3" rx="1.5"/>`;
  const whisker = interval
    ? `<path class="whisker" d="M${x(interval[0])} 10H${x(interval[1])}M${x(interval[0])} 7V13M${
      x(interval[1])
    } 7V13"/>`
    : "";
  return `<svg class="bars one" viewBox="0 0 200 16" aria-hidden="true">${was}` +
    `<rect class="track" x="0" y="6" width="200" height="8" rx="4"/>` +
    `<rect class="is" x="0" y="6" width="${x(share)}" height="8" rx="4"/>${whisker}</svg>`;
}

/** Counts of expected (rows) against given (columns); the diagonal is what was right. */
export function confusionMap(
  { names, counts }: {
    readonly names: readonly string[];
    readonly counts: readonly (readonly number[])[];
  },
  title: string,
  width = 1080,
): string {
  const cut = (name: string) => name.length > 16 ? `${name.slice(0, 15)}…` : name;
  const left = 14 + 7 * Math.max(4, ...names.map((name) => cut(name).length));
  const wide = (width - left - RIGHT) / names.length, tall = Math.min(44, Math.max(22, wide * 0.5));
  const slanted = wide < 8 * Math.max(...names.map((name) => cut(name).length));
  const below = slanted ? 90 : 26, height = 6 + tall * names.length + below;
  const cells = counts.flatMap((row, r) => {
    const all = row.reduce((a, b) => a + b, 0);
    return row.map((count, c) => {
      const share = all === 0 ? 0 : count / all;
      const [x, y] = [left + c * wide, 6 + r * tall];
      return `<rect class="cell${r === c ? " hit" : ""}" x="${at(x)}" y="${at(y)}" width="${
        at(wide - 2)
      }" height="${at(tall - 2)}" rx="3" opacity="${(0.06 + 0.74 * share).toFixed(2)}"><title>${
        escape(`expected ${names[r]}, given ${names[c]}: ${count} of ${all}`)
      }</title></rect>` + (count === 0
        ? ""
        : `<text class="count" x="${at(x + wide / 2 - 1)}" y="${
          at(y + tall / 2 + 3)
        }" text-anchor="middle">${count}</text>`);
    });
  });
  const rows = names.map((name, r) =>
    `<text class="tick" x="${left - 8}" y="${at(6 + r * tall + tall / 2 + 3)}" text-anchor="end">${
      escape(cut(name))
    }</text>`
  );
  const columns = names.map((name, c) => {
    const [x, y] = [at(left + (c + 0.5) * wide), at(6 + tall * names.length + 16)];
    return slanted
      ? `<text class="tick" x="${x}" y="${y}" text-anchor="end" transform="rotate(-45 ${x} ${y})">${
        escape(cut(name))
      }</text>`
      : `<text class="tick" x="${x}" y="${y}" text-anchor="middle">${escape(cut(name))}</text>`;
  });
  return `<svg viewBox="0 0 ${width} ${at(height)}" role="img" aria-label="${escape(title)}">` +
    cells.join("") + rows.join("") + columns.join("") + "</svg>";
}

/** A reliability diagram: how often answers are right, by the confidence they state; ideal is the diagonal. */
export function calibrationChart(
  bins: readonly {
    readonly low: number;
    readonly high: number;
    readonly n: number;
    readonly confidence: number;
    readonly accuracy: number;
  }[],
  width = 1080,
): string {
  const top = 26, bottom = 40, left = 48, side = 300, height = top + side + bottom;
  const x = (v: number) => left + v * (width - left - RIGHT),
    y = (v: number) => top + (1 - v) * side;
  const percent = (v: number) => `${Math.round(100 * v)} %`;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((v) =>
    `<line class="grid" x1="${left}" x2="${width - RIGHT}" y1="${at(y(v))}" y2="${at(y(v))}"/>` +
    `<text class="tick" x="${left - 8}" y="${at(y(v) + 4)}" text-anchor="end">${
      percent(v)
    }</text>` +
    `<text class="tick" x="${at(x(v))}" y="${height - 20}" text-anchor="middle">${v}</text>`
  );
  const bars = bins.filter(({ n }) => n > 0).map(({ low, high, n, confidence, accuracy }) => {
    const rect = (look: string, from: number, to: number) =>
      `<rect class="${look}" x="${at(x(low) + 2)}" y="${at(y(Math.max(from, to)))}" width="${
        at(x(high) - x(low) - 4)
      }" height="${at(Math.max(1, Math.abs(y(from) - y(to))))}" rx="2"/>`;
    const says = `${n} answers say ${percent(confidence)} on average, ${
      percent(accuracy)
    } are right`;
    return `<g><title>${escape(says)}</title>${rect("bar", 0, accuracy)}${
      confidence > accuracy ? rect("gap", accuracy, confidence) : ""
    }<path class="whisker" d="M${at(x(low) + 2)} ${at(y(confidence))}H${
      at(x(high) - 2)
    }"/><text class="tick" x="${at((x(low) + x(high)) / 2)}" y="${
      at(y(Math.max(accuracy, confidence)) - 6)
    }" text-anchor="middle">${n}</text></g>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Reliability diagram">` +
    grid.join("") + bars.join("") +
    `<path class="ideal" d="M${at(x(0))} ${at(y(0))}L${at(x(1))} ${at(y(1))}"/>` +
    `<text class="tick" x="${width - RIGHT}" y="${
      height - 3
    }" text-anchor="end">stated confidence</text>` +
    `<text class="tick" x="4" y="14">right</text></svg>`;
}

const clamp = (v: number) => Math.min(1, Math.max(0, v));
const at = (n: number) => String(Math.round(n * 10) / 10);

function range(values: readonly number[]): { low: number; high: number } {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}
