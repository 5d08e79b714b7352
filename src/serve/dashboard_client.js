// The live page of a run. Text from models and data only ever becomes text nodes.
"use strict";
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let run = {}, steps = [], evals = [], samples = new Map(), warnings = [], drawn = true;

const short = (n) =>
  n === null || n === undefined || !Number.isFinite(n)
    ? "–"
    : Number.isInteger(n) && Math.abs(n) < 1e6
    ? n.toLocaleString("en")
    : String(Number(n.toPrecision(4)));
const bytes = (n) =>
  n >= 2 ** 30 ? `${(n / 2 ** 30).toFixed(2)} GiB` : `${(n / 2 ** 20).toFixed(1)} MiB`;
const time = (s) =>
  s < 90
    ? `${Math.round(s)} s`
    : s < 5400
    ? `${Math.round(s / 60)} min`
    : `${(s / 3600).toFixed(1)} h`;

function element(name, look, text) {
  const made = document.createElement(name);
  if (look) made.className = look;
  if (text !== undefined) made.textContent = text;
  return made;
}
function drawing(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function take(event) {
  switch (event.event) {
    case "start": {
      const from = event.resumed_from ?? -1;
      steps = steps.filter((s) => s.step <= from);
      evals = evals.filter((e) => e.step <= from);
      break;
    }
    case "step":
      steps.push(event);
      break;
    case "eval":
      evals.push(event);
      break;
    case "sample":
      samples.set(event.prompt, event);
      break;
    case "warn":
      if (!warnings.includes(event.message)) warnings.push(event.message);
  }
}

function anew() {
  [steps, evals, samples, warnings] = [[], [], new Map(), []];
}

/** Exponential mean, its start corrected. */
function smooth(points, span) {
  const keep = Math.exp(-1 / Math.max(span, 1e-9));
  let sum = 0, weight = 0;
  return points.map(([x, y]) => {
    if (Number.isFinite(y)) [sum, weight] = [keep * sum + (1 - keep) * y, keep * weight + 1 - keep];
    return [x, sum / weight];
  });
}

/** At most 600 points, the lowest and highest of each stretch kept. */
function thin(points) {
  const good = points.filter(([, y]) => Number.isFinite(y));
  if (good.length <= 600) return good;
  const kept = [];
  for (let b = 0; b < 300; b++) {
    const part = good.slice(
      Math.floor(b * good.length / 300),
      Math.floor((b + 1) * good.length / 300),
    );
    const low = part.reduce((a, p) => p[1] < a[1] ? p : a),
      high = part.reduce((a, p) => p[1] > a[1] ? p : a);
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

function ticks(low, high, about) {
  if (!(high > low)) return [low];
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const all = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    all.push(Number((i * step).toPrecision(12)));
  }
  return all;
}

function chart(title, lines, wide, zero) {
  const card = element("div", wide ? "card wide" : "card"), head = element("h3", "", title + " ");
  if (lines.length > 1) {
    for (const l of lines) {
      head.append(element("span", `key c${l.color}${l.look === "faint" ? " pale" : ""}`, l.name));
    }
  }
  card.append(head);
  const shown = lines.map((l) => ({ ...l, points: thin(l.points) })).filter((l) =>
    l.points.length > 0
  );
  if (shown.length === 0) {
    card.append(element("p", "empty", "Nothing yet."));
    return card;
  }
  const width = wide ? 1080 : 530, height = 230, left = 62, right = 14, top = 12, bottom = 24;
  const all = shown.flatMap((l) => l.points);
  const x0 = 0, x1 = Math.max(1, run.steps ?? 0, ...shown.map((l) => l.points.at(-1)[0]));
  let y0 = all.reduce((a, p) => Math.min(a, p[1]), Infinity),
    y1 = all.reduce((a, p) => Math.max(a, p[1]), -Infinity);
  const pad = (y1 - y0 || Math.abs(y1) || 1) * 0.06;
  y0 = zero ? Math.min(0, y0) : y0 - pad;
  y1 += pad;
  const toX = (x) => left + (x - x0) / (x1 - x0) * (width - left - right);
  const toY = (y) => height - bottom - (y - y0) / (y1 - y0) * (height - top - bottom);
  const svg = drawing("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": title,
  });
  const label = (x, y, anchor, text) => {
    const t = drawing("text", { class: "tick", x, y, "text-anchor": anchor });
    t.textContent = text;
    svg.append(t);
  };
  for (const y of ticks(y0, y1, 5)) {
    svg.append(
      drawing("line", { class: "grid", x1: left, x2: width - right, y1: toY(y), y2: toY(y) }),
    );
    label(left - 8, toY(y) + 4, "end", short(y));
  }
  for (const x of ticks(x0, x1, width / 110)) label(toX(x), height - 6, "middle", short(x));
  for (const l of shown) {
    const d = l.points.map(([x, y], i) =>
      `${i ? "L" : "M"}${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`
    ).join("");
    svg.append(drawing("path", { class: `${l.look} c${l.color}`, d }));
    if (l.look !== "marks") continue;
    for (const [x, y] of l.points) {
      const mark = drawing("circle", { class: `mark c${l.color}`, cx: toX(x), cy: toY(y), r: 3.5 });
      const told = drawing("title", {});
      told.textContent = `${l.name}: ${short(y)} at step ${x}`;
      mark.append(told);
      svg.append(mark);
    }
  }
  card.append(svg);
  return card;
}

function draw() {
  drawn = true;
  const last = steps.at(-1), total = run.steps ?? 0;
  const words = {
    running: "running",
    finished: "finished",
    early: "stopped early",
    stopped: "stopped",
    failed: "failed",
  };
  if (!$("status").classList.contains("lost")) {
    $("status").textContent = words[run.status] ?? "waiting";
    $("status").className = `badge ${run.status ?? ""}`;
  }
  const base = (path) => (path ?? "").split(/[\\/]/).filter(Boolean).at(-1) ?? "";
  $("about").textContent = run.model
    ? `${run.kind} of ${base(run.model.path)} on ${base(run.data?.path)}${
      run.error ? ` · ${run.error}` : ""
    }`
    : "";
  $("bar").style.width = `${total ? Math.min(100, 100 * (last?.step ?? 0) / total) : 0}%`;
  const tiles = [];
  const tile = (value, name) => {
    const made = element("div", "tile");
    made.append(element("b", "", value), element("span", "", name));
    tiles.push(made);
  };
  if (last) {
    const recent = steps.slice(-20), ms = recent.reduce((a, s) => a + s.ms, 0) / recent.length;
    tile(`${short(last.step)}`, `of ${short(total)} steps, epoch ${last.epoch.toFixed(2)}`);
    tile(short(last.loss), "loss");
    const best = evals.filter((e) => Number.isFinite(e.val_loss)).reduce(
      (a, e) => !a || e.val_loss < a.val_loss ? e : a,
      undefined,
    );
    if (best) tile(short(best.val_loss), `best validation loss, step ${best.step}`);
    tile(short(last.lr), "learning rate");
    tile(short(last.grad_norm), "gradient norm");
    tile(short(Math.round(last.tok_s)), "tokens a second");
    tile(bytes(last.mem_bytes), "of GPU memory");
    if (run.status === "running") tile(time((total - last.step) * ms / 1000), "left");
  }
  $("tiles").replaceChildren(...tiles);
  const of = (key) => steps.map((s) => [s.step, s[key] ?? NaN]);
  const span = Math.max(1, steps.length / 40);
  const loss = [
    { name: "training, each step", points: of("loss"), look: "faint", color: 1 },
    { name: "training, smoothed", points: smooth(of("loss"), span), look: "line", color: 1 },
  ];
  if (evals.length) {
    loss.push({
      name: "validation",
      points: evals.map((e) => [e.step, e.val_loss ?? NaN]),
      look: "marks",
      color: 2,
    });
  }
  const preference = [
    ["Reward margin", "rewards/margins"],
    ["Pairs the right way round", "rewards/accuracies"],
  ].filter(([, key]) => steps.some((s) => Number.isFinite(s[key]))).map(([title, key]) =>
    chart(title, [
      { name: "training", points: of(key), look: "line", color: 1 },
      ...evals.length
        ? [{
          name: "validation",
          points: evals.map((e) => [e.step, e[key] ?? NaN]),
          look: "marks",
          color: 2,
        }]
        : [],
    ], false)
  );
  $("charts").replaceChildren(
    chart("Loss", loss, true),
    ...preference,
    chart(
      "Learning rate",
      [{ name: "rate", points: of("lr"), look: "line", color: 3 }],
      false,
      true,
    ),
    chart(
      "Gradient norm before clipping",
      [{ name: "norm", points: of("grad_norm"), look: "line", color: 4 }],
      false,
      true,
    ),
  );
  $("said").replaceChildren(
    ...warnings.slice(-5).map((text) => {
      const card = element("div", "card finding warning");
      card.append(element("p", "", text));
      return card;
    }),
  );
  $("answers-head").hidden = samples.size === 0;
  $("answers").replaceChildren(
    ...[...samples.values()].slice(0, 20).map((s) => {
      const card = element("div", "card sample");
      const right = s.expected === undefined
        ? ""
        : s.output.trim() === s.expected.trim()
        ? "same"
        : "other";
      const line = (name, text, look) => {
        const row = element("div");
        row.append(element("span", "", name), element("pre", look, text));
        card.append(row);
      };
      line("asked", s.prompt);
      line(s.step === undefined ? "answered" : `step ${s.step}`, s.output, right);
      if (right === "other") line("expected", s.expected);
      return card;
    }),
  );
}

/** At most four pictures a second, none while nobody looks. */
function redraw() {
  if (!drawn) return;
  drawn = false;
  setTimeout(() => requestAnimationFrame(draw), 250);
}

const source = new EventSource(`/events${location.search}`);
source.onopen = () => {
  $("status").classList.remove("lost");
  redraw();
};
source.onerror = () => {
  $("status").className = "badge lost";
  $("status").textContent = run.status && run.status !== "running"
    ? run.status
    : "no connection: trying again";
};
source.addEventListener("run", (message) => {
  run = JSON.parse(message.data);
  redraw();
});
source.addEventListener("anew", () => {
  anew();
  redraw();
});
source.onmessage = (message) => {
  for (const line of message.data.split("\n")) {
    try {
      take(JSON.parse(line));
    } catch {
      // a line that a crash cut short
    }
  }
  redraw();
};
