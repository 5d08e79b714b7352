/** The look of a report: two palettes, one page, nothing fetched. */
export const style = `
:root { color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2127; --soft: #626a76; --line: #e4e1d8;
  --c1: #c2410c; --c2: #1d6fb8; --c3: #2f8f5b; --c4: #8a4fb0; --good: #2f8f5b; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14161a; --card: #1c1f25; --ink: #e8e6e0; --soft: #9aa1ac; --line: #30343c;
  --c1: #fb8b4a; --c2: #62b0f0; --c3: #5fc98f; --c4: #c79bea; --good: #5fc98f; --warn: #f0b05a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 72px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 14px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; letter-spacing: -0.01em; margin: 44px 0 14px; }
.badge { border-radius: 99px; padding: 2px 11px; font-size: 13px; font-weight: 600;
  border: 1px solid currentColor; color: var(--soft); }
.badge.finished, .badge.early { color: var(--good); }
.badge.failed, .badge.stopped { color: var(--warn); }
.sub { color: var(--soft); margin: 8px 0 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(136px, 1fr)); gap: 12px;
  margin-top: 26px; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 20px; white-space: nowrap; font-weight: 650; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr));
  gap: 14px; }
.card { padding: 16px 18px; min-width: 0; }
.card.wide { grid-column: 1 / -1; }
.card h3 { margin: 0 0 8px; font-size: 14px; font-weight: 650; display: flex; flex-wrap: wrap;
  gap: 4px 16px; }
.key { font-weight: 500; color: var(--soft); }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; border-radius: 2px;
  margin-right: 6px; vertical-align: middle; background: currentColor; }
.key.c1::before { background: var(--c1); } .key.c2::before { background: var(--c2); }
.key.c3::before { background: var(--c3); } .key.c4::before { background: var(--c4); }
.key.pale::before { opacity: 0.35; }
svg { display: block; width: 100%; height: auto; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .tick { fill: var(--soft); font-size: 11.5px; font-variant-numeric: tabular-nums; }
svg path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
svg path.line, svg path.marks { stroke-width: 2.2; }
svg path.faint { stroke-width: 1; opacity: 0.35; }
svg path.other { stroke: var(--soft); stroke-width: 1.3; opacity: 0.45; }
svg path.other:hover { opacity: 1; stroke-width: 2.2; }
svg path.c1:not(.other) { stroke: var(--c1); } svg path.c2 { stroke: var(--c2); }
svg path.c3 { stroke: var(--c3); } svg path.c4 { stroke: var(--c4); }
svg .mark { stroke: var(--card); stroke-width: 1.5; }
svg .mark.c1 { fill: var(--c1); } svg .mark.c2 { fill: var(--c2); }
svg .mark.c3 { fill: var(--c3); } svg .mark.c4 { fill: var(--c4); }
svg .cell { fill: var(--c1); }
svg.bars { width: 240px; } svg .track { fill: var(--line); }
svg .was { fill: var(--soft); } svg .is { fill: var(--c3); }
.best { margin-top: 26px; } tr.best td { font-weight: 650; color: var(--good); }
th.n { text-align: right; } a { color: inherit; } ul { margin: 0; padding-left: 20px; }
.findings { display: grid; gap: 10px; }
.finding { padding: 12px 16px; border-left: 4px solid var(--soft); }
.finding.good { border-left-color: var(--good); } .finding.warning { border-left-color: var(--warn); }
.finding b { display: block; } .finding p { margin: 2px 0 0; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
td { overflow-wrap: anywhere; } td.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.up { color: var(--good); font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
  gap: 0 28px; }
.sample { display: grid; gap: 10px; margin-bottom: 12px; }
.sample div { display: grid; grid-template-columns: 84px 1fr; gap: 12px; }
.sample span { color: var(--soft); font-size: 13px; }
pre { margin: 0; font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre.same { color: var(--good); } pre.other { color: var(--warn); }
details summary { cursor: pointer; color: var(--soft); font-size: 13px; }
details[open] summary { margin-bottom: 10px; }
.empty { color: var(--soft); margin: 20px 0; }
footer { margin-top: 56px; color: var(--soft); font-size: 13px; }
@media print { body { background: #fff; } .card, .tile, .finding { break-inside: avoid; } }
`;
