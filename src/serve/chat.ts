import { onePage } from "./local.ts";
import look from "./chat.css" with { type: "text" };
import controls from "./controls.css" with { type: "text" };
import client from "./chat_client.js" with { type: "text" };

const body = `<main>
<header><h1>whet</h1><select id="model" title="Model" aria-label="Model"></select>
<span class="grow"></span><button id="options" aria-expanded="false" aria-controls="panel">Options</button>
<button id="fresh">New chat</button></header>
<section id="panel" class="card" hidden>
<label class="wide">System prompt<textarea id="system" rows="3"
 placeholder="None: the model answers as it was trained to"></textarea></label>
<label>Temperature<input id="temperature" type="number" min="0" max="2" step="0.1" placeholder="as served"></label>
<label>Longest answer, tokens<input id="longest" type="number" min="1" step="1" placeholder="as served"></label>
<label>Form<select id="form"><option value="">as served</option><option value="text">free text</option>
<option value="json_object">JSON</option></select></label>
</section>
<div id="talk" role="log" aria-live="polite"></div>
<form id="composer">
<textarea id="say" rows="1" placeholder="Say something" aria-label="Message" autofocus></textarea>
<button id="send" class="go">Send</button>
</form>
<dialog id="door"><form method="dialog"><h3>This server wants its token</h3>
<input id="token" type="password" autocomplete="off" placeholder="Token" aria-label="Token">
<p class="sub" id="refused"></p><button class="go">Enter</button></form></dialog>
</main>`;

/** A page to chat with the models of the server that sends it. */
export const chatPage = (): Response =>
  onePage({ title: "chat", look: controls + look, body, client });
