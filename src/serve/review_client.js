// The page of a review. Text from models and data only ever becomes text nodes.
"use strict";
const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token");
const items = new Map();
let counts = { waiting: 0, approved: 0, edited: 0, rejected: 0 }, known = 0;
let filter = "waiting", current, editing, shown = [], done = [], busy = false;
/** List entries around the current one that are drawn. */
const WINDOW = 120;

function element(name, look, text) {
  const made = document.createElement(name);
  if (look) made.className = look;
  if (text !== undefined) made.textContent = text;
  return made;
}
function button(text, key, act, look) {
  const made = element("button", look, text);
  if (key) made.append(element("kbd", "", key));
  made.addEventListener("click", act);
  return made;
}

async function ask(path, body, query = "") {
  const answer = await fetch(`${path}?token=${encodeURIComponent(token)}${query}`, {
    ...(body === undefined ? {} : {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return await answer.json();
}

let fading;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(fading);
  fading = setTimeout(() => $("toast").classList.remove("on"), 2600);
}

const faulty = (i) => i.problems.length > 0 && !i.decision;
const FILTERS = {
  waiting: ["Waiting", (i) => !i.decision],
  faulty: ["Faulty", faulty],
  approved: ["Approved", (i) => i.decision && i.decision.what !== "reject"],
  edited: ["Edited", (i) => i.decision?.what === "edit"],
  rejected: ["Rejected", (i) => i.decision?.what === "reject"],
  all: ["All", () => true],
};

function take(answer) {
  for (const item of answer.items ?? []) items.set(item.item, item);
  for (const { item } of answer.outcomes ?? []) items.set(item.item, item);
  counts = answer.counts;
  known = answer.known;
}

/** The items that the filter and the words let through; the current one stays until it is left. */
function choose() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = [...items.values()].filter((i) => {
    if (i.item === current) return true;
    if (!FILTERS[filter][1](i)) return false;
    const text = words.length ? i.now.toLowerCase() : "";
    return words.every((word) => text.includes(word));
  }).sort((a, b) => a.item - b.item);
}

function draw() {
  choose();
  drawStanding();
  drawList();
  if (!editing) drawItem();
}

function drawStanding() {
  const all = counts.waiting + counts.approved + counts.rejected;
  const [yes, no] = $("bar").children;
  yes.style.width = `${100 * counts.approved / all}%`;
  no.style.width = `${100 * counts.rejected / all}%`;
  $("standing").textContent = `${(all - counts.waiting).toLocaleString("en")} of ${
    all.toLocaleString("en")
  } decided: ${counts.approved.toLocaleString("en")} approved (${
    counts.edited.toLocaleString("en")
  } edited), ${counts.rejected.toLocaleString("en")} rejected`;
  const list = [...items.values()];
  $("filters").replaceChildren(
    ...Object.entries(FILTERS).map(([name, [label, test]]) => {
      const n = list.filter(test).length;
      const made = button(`${label} ${n.toLocaleString("en")}`, "", () => setFilter(name));
      made.setAttribute("aria-pressed", String(name === filter));
      return made;
    }),
  );
  const ready = bulk();
  $("bulk").hidden = ready.length < 2;
  $("bulk").textContent = `Approve these ${ready.length.toLocaleString("en")} …`;
}

const bulk = () => shown.filter((i) => !i.decision && i.problems.length === 0).map((i) => i.item);

function setFilter(name) {
  filter = name;
  current = undefined;
  choose();
  go(shown[0]?.item);
}

function drawList() {
  const at = Math.max(0, shown.findIndex((i) => i.item === current));
  const from = Math.max(0, at - WINDOW / 2), part = shown.slice(from, from + WINDOW);
  const rows = part.map((i) => {
    const row = element("li");
    row.append(
      element("span", `dot ${i.decision?.what ?? (faulty(i) ? "faulty" : "")}`),
      element("span", "n", String(i.item)),
      element("span", "", summary(i)),
    );
    row.addEventListener(
      "click",
      () => editing ? toast("save or leave the edit first") : go(i.item),
    );
    if (i.item === current) row.setAttribute("aria-current", "true");
    return row;
  });
  if (from > 0) rows.unshift(element("li", "more", `${from.toLocaleString("en")} above`));
  const below = shown.length - from - part.length;
  if (below > 0) rows.push(element("li", "more", `${below.toLocaleString("en")} below`));
  if (rows.length === 0) rows.push(element("li", "more", "Nothing here."));
  $("list").replaceChildren(...rows);
  $("list").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

function summary({ parts }) {
  const part = parts.find((p) => ["user", "prompt", "anchor", "text"].includes(p.role)) ?? parts[0];
  return part ? part.text.trimStart().split("\n", 1)[0].slice(0, 120) : "";
}

function drawItem() {
  const box = $("item"), item = items.get(current);
  if (!item) {
    const empty = element("div", "scroll");
    const over = counts.waiting === 0;
    empty.append(
      element("p", "empty", over ? "Every row of this batch is decided." : "Nothing here."),
    );
    box.replaceChildren(empty);
    if (over) {
      const acts = element("div", "acts");
      acts.append(button("Finish", "", finish, "yes"));
      box.append(acts);
    }
    return;
  }
  const view = element("div", "scroll"), head = element("div", "head"), { decision } = item;
  head.append(element("b", "", `Item ${item.item}`));
  if (decision) {
    const did = { approve: "approved", edit: "edited and approved", reject: "rejected" };
    const when = new Date(decision.at).toLocaleString();
    const why = decision.reason ? `: ${decision.reason}` : "";
    head.append(element("span", "sub", `${did[decision.what]} by ${decision.by}, ${when}${why}`));
  }
  view.append(head);
  for (const problem of item.problems) view.append(element("p", "problem", problem));
  for (const { role, text } of item.parts) {
    const part = element("div", `part ${/^\w+$/.test(role) ? role : ""}`);
    part.append(element("span", "", role), element("pre", "", text));
    view.append(part);
  }
  if (item.now !== item.text) {
    const before = element("details");
    before.append(element("summary", "", "As it came"), element("pre", "", item.text));
    view.append(before);
  }
  const acts = element("div", "acts");
  if (decision) acts.append(button("Undo", "u", () => undo(item)));
  else {
    const yes = button("Approve", "a", () => approve(), "yes");
    yes.disabled = item.problems.length > 0;
    acts.append(yes, button("Edit", "e", edit), button("Reject", "r", reject, "no"));
  }
  acts.append(button("Back", "k", () => move(-1)), button("Next", "j", () => move(1)));
  if (counts.waiting === 0) acts.append(button("Finish", "", finish, "yes"));
  box.replaceChildren(view, acts);
}

function go(item) {
  current = item;
  draw();
  $("item").querySelector(".scroll")?.scrollTo(0, 0);
}
function move(by) {
  const at = shown.findIndex((i) => i.item === current);
  const next = shown[at + by];
  if (next) go(next.item);
}
/** The next one that still waits, below the current one or from the top. */
function onward() {
  const from = current;
  current = undefined;
  choose();
  const rest = shown.filter((i) => !i.decision);
  go((rest.find((i) => i.item > from) ?? rest[0] ?? shown.find((i) => i.item > from))?.item);
}

async function decide(acts, said) {
  if (busy) return false;
  busy = true;
  try {
    const answer = await ask("/decide", { acts });
    take(answer);
    const missed = answer.outcomes.filter((o) => !o.taken);
    for (const { taken, item } of answer.outcomes) {
      if (taken && item.decision) done.push({ item: item.item, of: item.decision.seq });
    }
    if (missed.length === 0) toast(said);
    else {
      const { decision, item } = missed[0].item;
      toast(
        missed.length > 1
          ? `${missed.length} were decided by others already`
          : decision
          ? `item ${item} was decided by ${decision.by} already`
          : `item ${item} waits already`,
      );
    }
    return missed.length < acts.length;
  } catch (error) {
    toast(error.message || "whet does not answer");
    return false;
  } finally {
    busy = false;
  }
}

async function approve() {
  const item = items.get(current);
  if (!item || item.decision) return;
  if (item.problems.length > 0) return toast("it could not be trained: edit or reject it");
  await decide([{ item: current, what: "approve" }], `item ${current} approved`);
  onward();
}
async function undo(item) {
  const act = { item: item.item, what: "undo", of: item.decision?.seq };
  if (await decide([act], `item ${item.item} waits again`)) filter = "waiting";
  done = done.filter((d) => d.item !== item.item);
  go(item.item);
}
async function undoLast() {
  const here = items.get(current);
  if (here?.decision) return await undo(here);
  const last = done.pop();
  if (!last) return toast("nothing to undo");
  if (await decide([{ ...last, what: "undo" }], `item ${last.item} waits again`)) {
    filter = "waiting";
  }
  go(last.item);
}

function dialog(title, ...content) {
  const box = $("dialog");
  box.replaceChildren(element("h2", "", title), ...content);
  box.showModal();
  return box;
}
const REASONS = [
  "wrong answer",
  "unnatural request",
  "says the same as another",
  "private or unsafe",
];
function reject() {
  const item = items.get(current);
  if (!item || item.decision) return;
  const send = async (reason) => {
    if (!reason.trim()) return;
    $("dialog").close();
    await decide([{ item: item.item, what: "reject", reason }], `item ${item.item} rejected`);
    onward();
  };
  const choices = element("div", "choices"), own = element("input");
  REASONS.forEach((reason, i) => choices.append(button(reason, String(i + 1), () => send(reason))));
  own.placeholder = "or in your words, then Enter";
  own.addEventListener("keydown", (event) => {
    if (event.key === "Enter") send(own.value);
    else if (own.value === "" && REASONS[event.key - 1]) {
      event.preventDefault();
      send(REASONS[event.key - 1]);
    }
  });
  dialog(`Reject item ${item.item}`, choices, own);
  own.focus();
}
function confirmBulk() {
  const ready = bulk();
  if (ready.length < 2) return;
  const acts = element("div", "acts");
  const yes = button(`Approve ${ready.length.toLocaleString("en")}`, "", async () => {
    $("dialog").close();
    const all = ready.map((item) => ({ item, what: "approve" }));
    await decide(all, `${ready.length.toLocaleString("en")} items approved`);
    current = undefined;
    choose();
    go(shown[0]?.item);
  }, "yes");
  acts.append(yes, button("Leave", "Esc", () => $("dialog").close()));
  dialog(
    `Approve ${ready.length.toLocaleString("en")} rows unread?`,
    element(
      "p",
      "",
      "They are the waiting rows of this list that have no fault. The log will say that you " +
        "approved each of them.",
    ),
    acts,
  );
}
function help() {
  const keys = element("dl");
  for (
    const [key, what] of [
      ["a", "approve"],
      ["e", "edit; Ctrl Enter saves and approves, Esc leaves"],
      ["r", "reject, with a reason"],
      ["u", "undo: this decision, or your last one"],
      ["j k", "next, back (or arrow keys)"],
      ["/", "search"],
      ["1 – 6", "filters"],
    ]
  ) {
    const dt = element("dt");
    dt.append(element("kbd", "", key));
    keys.append(dt, element("dd", "", what));
  }
  dialog("Keys", keys, button("Close", "Esc", () => $("dialog").close()));
}
async function finish() {
  await ask("/finish", {});
  $("item").replaceChildren(element("p", "empty", "Done. This page may be closed."));
  clearInterval(polling);
}

/** One box for each text of a row, and JSON for what is no text. */
function fieldsOf(row) {
  const fields = [];
  const add = (label, value, put) => {
    const isText = typeof value === "string";
    fields.push({ label, isText, value: isText ? value : JSON.stringify(value, null, 2), put });
  };
  for (const [key, value] of Object.entries(row)) {
    if (key === "metadata") continue;
    const talk = Array.isArray(value) && value.length > 0 &&
      value.every((m) => typeof (m?.content ?? m?.value) === "string");
    if (!talk) add(key, value, (to, v) => to[key] = v);
    else {
      value.forEach((m, i) => {
        const name = "content" in m ? "content" : "value";
        add(m.role ?? m.from ?? key, m[name], (to, v) => to[key][i][name] = v);
      });
    }
  }
  return fields;
}
function edit() {
  const item = items.get(current);
  if (!item || item.decision) return;
  editing = item.item;
  const box = $("item"), view = element("div", "scroll"), acts = element("div", "acts");
  const head = element("div", "head"), told = element("div");
  head.append(element("b", "", `Edit item ${item.item}`));
  view.append(head, told);
  let row;
  try {
    row = JSON.parse(item.form);
  } catch {
    row = {};
  }
  const fields = fieldsOf(row);
  for (const field of fields) {
    const label = element("label"), area = element("textarea");
    label.append(element("span", "", field.label + (field.isText ? "" : " (JSON)")), area);
    area.value = field.value;
    area.spellcheck = field.isText;
    area.addEventListener("input", look);
    field.area = area;
    view.append(label);
  }
  const made = () => {
    const to = structuredClone(row);
    for (const field of fields) {
      try {
        field.put(to, field.isText ? field.area.value : JSON.parse(field.area.value));
      } catch {
        throw new Error(`${field.label} is not valid JSON`);
      }
    }
    return JSON.stringify(to);
  };
  let asked = 0, waiting;
  const check = async () => {
    const mine = ++asked;
    let found;
    try {
      found = await ask("/check", { item: item.item, form: made() });
    } catch (error) {
      found = { problems: [error.message] };
    }
    if (mine !== asked || editing !== item.item) return undefined;
    told.replaceChildren(
      ...(found.problems.length > 0
        ? found.problems.map((p) => element("p", "problem", p))
        : [element("p", "fine", "Can be trained.")]),
    );
    save.disabled = found.problems.length > 0;
    return found;
  };
  function look() {
    clearTimeout(waiting);
    waiting = setTimeout(check, 150);
  }
  const store = async () => {
    const found = await check();
    if (!found || found.problems.length > 0) return;
    editing = undefined;
    const act = { item: item.item, what: "edit", text: found.text };
    await decide([act], `item ${item.item} approved as edited`);
    onward();
  };
  const leave = () => {
    editing = undefined;
    draw();
  };
  const save = button("Save and approve", "Ctrl ⏎", store, "yes");
  acts.append(save, button("Leave", "Esc", leave));
  view.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) store();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  box.replaceChildren(view, acts);
  fields[0]?.area.focus();
  check();
}

document.addEventListener("keydown", (event) => {
  if ($("dialog").open || editing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("search")) {
    if (event.key === "Escape" || event.key === "Enter") $("search").blur();
    return;
  }
  const act = {
    a: approve,
    e: edit,
    r: reject,
    u: undoLast,
    j: () => move(1),
    ArrowDown: () => move(1),
    k: () => move(-1),
    ArrowUp: () => move(-1),
    "/": () => $("search").focus(),
    "?": help,
  }[event.key] ??
    (Object.keys(FILTERS)[event.key - 1] && (() => setFilter(Object.keys(FILTERS)[event.key - 1])));
  if (!act) return;
  event.preventDefault();
  act();
});
$("search").addEventListener("input", () => {
  current = undefined;
  choose();
  go(shown[0]?.item);
});
$("bulk").addEventListener("click", confirmBulk);
$("help").addEventListener("click", help);

let lost = false;
const polling = setInterval(async () => {
  if (busy || loading) return;
  try {
    const answer = await ask("/changes", undefined, `&since=${known}`);
    const mine = answer.items.find((i) => i.item === current);
    if (mine?.decision && !items.get(current)?.decision) {
      toast(`item ${current} was decided by ${mine.decision.by}`);
    }
    take(answer);
    if (answer.items.length > 0) draw();
    lost = false;
  } catch {
    if (!lost) toast("whet does not answer: start it again to go on");
    lost = true;
  }
}, 1500);

let loading = true;
(async () => {
  for (;;) {
    const answer = await ask("/items", undefined, `&from=${items.size}`);
    const first = items.size === 0;
    const before = known;
    take(answer);
    // What changed while the first rows came is asked for again.
    if (!first) known = before;
    if (first) {
      choose();
      go(shown[0]?.item);
    }
    const all = counts.waiting + counts.approved + counts.rejected;
    if (items.size >= all || answer.items.length === 0) break;
  }
  loading = false;
  draw();
})();
