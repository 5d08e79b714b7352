/**
 * The only script of a page: it shows those examples that the filters leave. It reads texts of the page and
 * hides elements, and nothing else; without it every example is shown.
 */
export const script = `
const bar = document.querySelector(".filter");
if (bar) {
  const [search, which, slice] = bar.querySelectorAll("input, select");
  const count = bar.querySelector("output");
  const all = [...document.querySelectorAll("#examples > article")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
    states: element.dataset.state.split(" "),
    tags: JSON.parse(element.dataset.tags),
  }));
  const show = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const { element, text, states, tags } of all) {
      const fits = words.every((word) => text.includes(word)) &&
        (which.value === "" || states.includes(which.value)) &&
        (slice.value === "" || tags.includes(slice.value));
      element.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    count.textContent = shown + " shown";
  };
  for (const control of [search, which, slice]) control.addEventListener("input", show);
  bar.hidden = false;
  show();
}
`;

/** What an evaluation needs beside the style of all reports. */
export const scriptStyle = `
.filter { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: 10px;
  padding: 10px 0; background: var(--paper); align-items: center; }
.filter[hidden], article[hidden] { display: none; }
.filter input { flex: 1 1 260px; } .filter output { color: var(--soft); font-size: 13px; }
.filter input, .filter select { font: inherit; font-size: 14px; color: var(--ink); min-width: 0;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 7px 11px;
  max-width: 100%; }
.sample h3 { margin-bottom: 0; align-items: baseline; } .sample.bad { border-left: 4px solid var(--warn); }
.sample.ok { border-left: 4px solid var(--good); }
.sample .mark { font-size: 12px; font-weight: 650; }
.sample.ok .mark { color: var(--good); } .sample.bad .mark { color: var(--warn); }
.diff { width: auto; justify-self: start; font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.diff th, .diff td { padding: 2px 16px 2px 0; border: 0; white-space: normal; }
del { color: var(--warn); } ins { color: var(--good); text-decoration: none; }
.aside { font-weight: 400; color: var(--soft); } td.soft { color: var(--soft); }
svg.bars.one { width: 200px; } svg .whisker { stroke: var(--ink); stroke-width: 1.4; }
svg .is.right { fill: var(--c3); }
svg .ideal { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 5 5; }
svg .bar { fill: var(--c2); opacity: 0.85; } svg .gap { fill: var(--c1); opacity: 0.25; }
svg .count { fill: var(--ink); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .cell.hit { fill: var(--c3); }
`;
