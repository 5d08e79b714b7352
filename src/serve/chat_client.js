// The chat page. Text from models only ever becomes text nodes.
"use strict";
const $ = (id) => document.getElementById(id);
let turns = [], running;

function element(name, look, text) {
  const made = document.createElement(name);
  if (look) made.className = look;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Asks the server; where it wants a token, the person, until it is the right one. */
async function ask(path, init = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = { ...init.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
    const answer = await fetch(path, { ...init, headers });
    if (answer.status !== 401) return answer;
    $("refused").textContent = token ? "That was not the right one." : "";
    await new Promise((told) => {
      $("door").addEventListener("close", told, { once: true });
      $("door").showModal();
    });
    sessionStorage.setItem("token", $("token").value.trim());
    $("token").value = "";
  }
}

const messageOf = async (answer) => {
  const body = await answer.json().catch(() => undefined);
  return body?.error?.message ?? `status ${answer.status}`;
};

/** JSON as people read it; undefined for what is none. */
function pretty(value) {
  const shown = element("pre"), text = JSON.stringify(value, null, 2);
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)/g;
  let at = 0;
  for (const found of text.matchAll(token)) {
    shown.append(text.slice(at, found.index));
    const [whole, string, colon] = found;
    shown.append(
      element("span", string ? (colon ? "key" : "str") : "num", string ?? whole),
      colon ?? "",
    );
    at = found.index + whole.length;
  }
  shown.append(text.slice(at));
  return shown;
}

function asJson(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

const NOT_SECTIONS = ["_valid", "error", "confidence", "action"];

/** The answer as it is shown when it is whole: its sections, JSON laid out, else its text. */
function drawn(text, told) {
  const sections = Object.entries(told ?? {}).filter(([key]) => !NOT_SECTIONS.includes(key));
  if (sections.length > 0 && told._valid) {
    return sections.filter(([, value]) => value !== "").map(([tag, value]) => {
      if (typeof value === "object") return pretty(value);
      const section = element("div", "section", value);
      section.prepend(element("b", "", tag));
      return section;
    });
  }
  const value = asJson(text);
  return [value === undefined ? element("div", "text", text) : pretty(value)];
}

/** One answer on the page, while it is made and after. */
class Answer {
  constructor(model) {
    this.text = "";
    this.box = element("article", "answer busy");
    this.who = element("div", "who");
    this.who.append(element("span", "", model));
    this.body = element("div", "body");
    this.plain = element("span", "text");
    this.body.append(this.plain);
    this.foot = element("div", "foot");
    this.box.append(this.who, this.body, this.foot);
    this.began = performance.now();
  }

  add(piece) {
    this.first ??= performance.now();
    this.text += piece;
    this.plain.append(piece);
  }

  note(text, look) {
    this.foot.append(element("span", look, text));
  }

  done({ told, usage, finish, standing }) {
    this.box.classList.remove("busy");
    this.body.replaceChildren(...drawn(this.text, told));
    if (told?.action) {
      const sure = told.confidence === undefined ? "" : ` · ${told.confidence}`;
      this.who.append(element("span", `badge ${told.action}`, told.action + sure));
    }
    if (told?._valid === false) this.note(told.error ?? "not valid", "wrong");
    const seconds = (performance.now() - this.began) / 1000;
    if (usage) {
      const { completion_tokens: n } = usage;
      this.note(`${n} ${n === 1 ? "token" : "tokens"}, ${(n / seconds).toFixed(1)} a second`);
    }
    if (this.first) this.note(`first after ${((this.first - this.began) / 1000).toFixed(2)} s`);
    if (finish === "length") this.note("cut at the longest answer", "wrong");
    if (finish === "stopped") this.note("stopped");
    if (standing === "completed") this.note("asked under the system prompt of its training");
    if (standing === "differs") this.note("asked otherwise than it was trained", "wrong");
    if (!navigator.clipboard) return; // a page that did not come over a safe way has none
    const copy = element("button", "", "copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.text);
      copy.textContent = "copied";
    });
    this.foot.append(copy);
  }

  failed(message) {
    this.box.classList.remove("busy");
    if (this.text === "") this.body.replaceChildren();
    this.note(message, "wrong");
  }
}

/** The events of a stream, parsed. */
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = "";;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
    }
  }
}

function requestBody() {
  const system = $("system").value.trim(), temperature = $("temperature").value;
  const longest = $("longest").value, form = $("form").value;
  return {
    model: $("model").value,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...turns],
    stream: true,
    stream_options: { include_usage: true },
    ...(temperature === "" ? {} : { temperature: Number(temperature) }),
    ...(longest === "" ? {} : { max_tokens: Number(longest) }),
    ...(form === "" ? {} : { response_format: { type: form } }),
  };
}

async function say(text) {
  const talk = $("talk"), down = () => talk.scrollTop = talk.scrollHeight;
  if (turns.length === 0) talk.replaceChildren();
  const mine = turns;
  mine.push({ role: "user", content: text });
  talk.append(element("div", "user", text));
  const answer = new Answer($("model").value);
  talk.append(answer.box);
  down();
  running = new AbortController();
  busy(true);
  let told, usage, finish, standing;
  try {
    const response = await ask("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(requestBody()),
      signal: running.signal,
    });
    if (!response.ok) throw new Error(await messageOf(response));
    standing = response.headers.get("whet-prompt");
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const choice = event.choices[0];
      if (!choice) continue;
      const near = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
      if (choice.delta.content) answer.add(choice.delta.content);
      finish = choice.finish_reason ?? finish;
      told = choice.whet ?? told;
      if (near) down();
    }
    answer.done({ told, usage, finish, standing });
  } catch (error) {
    if (error.name === "AbortError") answer.done({ finish: "stopped", standing });
    else answer.failed(error.message);
  }
  // A conversation goes on from what there is; what was never answered is not part of it.
  if (answer.text !== "") mine.push({ role: "assistant", content: answer.text });
  else mine.pop();
  busy(false);
  down();
}

function busy(now) {
  if (!now) running = undefined;
  $("send").textContent = now ? "Stop" : "Send";
  $("send").classList.toggle("stop", now);
  if (!now) $("say").focus();
}

function hello() {
  turns = [];
  const box = element("div", "hello");
  box.append(
    element("b", "", "Say something"),
    "Enter sends, Shift+Enter begins a line, Esc stops.",
  );
  $("talk").replaceChildren(box);
  $("say").focus();
}

function grow() {
  $("say").style.height = "auto";
  $("say").style.height = `${$("say").scrollHeight}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return running.abort();
  const text = $("say").value.trim();
  if (text === "") return;
  $("say").value = "";
  grow();
  say(text);
});
$("say").addEventListener("input", grow);
$("say").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!running) $("composer").requestSubmit();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && running?.abort());
$("options").addEventListener("click", () => {
  $("panel").hidden = !$("panel").hidden;
  $("options").setAttribute("aria-expanded", String(!$("panel").hidden));
});
$("fresh").addEventListener("click", () => {
  running?.abort();
  hello();
});

(async () => {
  hello();
  const answer = await ask("/v1/models");
  if (!answer.ok) throw new Error(await messageOf(answer));
  const { data } = await answer.json(), able = data.filter(({ chat }) => chat);
  $("model").append(...able.map(({ id }) => new Option(id, id)));
  if (able.length > 0) return;
  $("say").disabled = $("send").disabled = true;
  $("talk").replaceChildren(element("div", "hello", "No model here holds conversations."));
})().catch((error) => $("talk").replaceChildren(element("div", "hello wrong", error.message)));
