/** How people phrase requests in general, whatever the program: the template teacher's own words. */

/** Ways into a sentence and out of it. Formal ones start with a capital and end with a stop. */
export const FRAMES: readonly { readonly open: string; readonly close: string }[] = [
  { open: "", close: "" },
  { open: "", close: " please" },
  { open: "", close: " now" },
  { open: "", close: ", thanks" },
  { open: "please ", close: "" },
  { open: "can you ", close: "" },
  { open: "could you ", close: " please" },
  { open: "i want to ", close: "" },
  { open: "i need to ", close: " today" },
  { open: "i'd like to ", close: "" },
  { open: "let's ", close: "" },
  { open: "time to ", close: "" },
  { open: "hey, ", close: "" },
  { open: "ok, ", close: "" },
  { open: "just ", close: "" },
  { open: "go ahead and ", close: "" },
  { open: "Please ", close: "." },
  { open: "Could you ", close: "?" },
  { open: "I would like to ", close: "." },
];

/** The same for sentences that are no commands. */
export const ASIDES: typeof FRAMES = [
  { open: "", close: "" },
  { open: "", close: " please" },
  { open: "", close: ", thanks" },
  { open: "hey, ", close: "" },
  { open: "ok, ", close: "" },
  { open: "so, ", close: "" },
  { open: "hi, ", close: "" },
  { open: "sorry, ", close: "" },
];

/** Synonyms of the verbs that command lines are full of. */
export const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  add: ["add", "create", "make", "put in"],
  archive: ["archive", "put away", "shelve"],
  clone: ["clone", "copy", "duplicate"],
  close: ["close", "shut", "finish"],
  create: ["create", "make", "add", "set up"],
  delete: ["delete", "remove", "get rid of", "drop"],
  disable: ["disable", "turn off", "switch off"],
  edit: ["edit", "change", "update"],
  enable: ["enable", "turn on", "switch on"],
  find: ["find", "search for", "look for"],
  get: ["get", "fetch", "show"],
  list: ["list", "show", "display"],
  move: ["move", "shift", "transfer"],
  open: ["open", "start", "bring up"],
  remove: ["remove", "delete", "get rid of", "drop"],
  rename: ["rename", "change the name of"],
  restart: ["restart", "start again", "bounce"],
  run: ["run", "execute", "start"],
  search: ["search", "find", "look for"],
  send: ["send", "mail", "post"],
  set: ["set", "change", "put"],
  show: ["show", "display", "print", "view"],
  start: ["start", "begin", "launch"],
  stop: ["stop", "halt", "end"],
  update: ["update", "change", "edit", "refresh"],
  view: ["view", "show", "display", "look at"],
};

/** Requests that name a thing but no action; `{}` is the thing. */
export const NO_ACTION: readonly string[] = [
  "do something (about|with) {}",
  "sort out {}",
  "(take care of|deal with|handle|see to) {}",
  "what about {}",
  "{} needs (work|help|attention)",
];

/** Requests that say nothing a program could act on; `{}` is the program's name. */
export const NO_INTENT: readonly string[] = [
  "help me (out|)",
  "(do|make) it (better|nicer|right)",
  "i need (something|help) for the {}",
  "(do|try) (something|anything)",
  "what (next|now)",
  "i am not sure what to do",
  "(do|get) the usual (thing|stuff)",
  "make the {} nice",
];

/** Requests for what no such program does. */
export const OFF_TOPIC: readonly string[] = [
  "what is the capital of (france|peru|japan|kenya|chile)",
  "tell me a (joke|story|riddle) about (cats|pirates|robots|trains)",
  "who won the (match|race|cup) (yesterday|last year)",
  "how (tall|old|far away) is the (moon|tower|president)",
  "translate (hello|good night) into (french|welsh|latin)",
  "play some (jazz|techno|opera)",
  "book a (flight|hotel) (to|in) (rome|oslo|lima)",
  "how do i (cook|bake) (rice|bread|a pie)",
  "what is (two plus two|the square root of nine)",
  "write a (poem|song) about (love|the sea|trains)",
];

/** Stands where a required value was left out. */
export const SOMETHING = ["something", "some of it", "one"];

/** Sample values for arguments whose schema gives none, chosen by a word in the argument's name. */
export const SAMPLES: readonly { readonly about: RegExp; readonly values: readonly string[] }[] = [
  { about: /branch/, values: ["main", "(fix|feature|topic)-(login|search|menu|cache|tests)"] },
  {
    about: /file|path/,
    values: ["(notes|plan|report|draft).(md|txt|csv)", "src/(app|main|util).ts"],
  },
  { about: /dir|folder/, values: ["(docs|photos|backup|work)", "home/(ana|leo|work)"] },
  { about: /tag|label/, values: ["(urgent|later|home|office|blocked)"] },
  { about: /date|day|when|due/, values: ["(monday|tuesday|friday|sunday|tomorrow|today)"] },
  { about: /user|owner|author|assignee|name/, values: ["(ana|leo|mina|omar|zoe|ivan|ruth|kofi)"] },
  { about: /mail/, values: ["(ana|leo|mina|omar)@(work|home).org"] },
  { about: /url|link/, values: ["https://(docs|shop|blog).org/(help|start|news)"] },
  {
    about: /text|title|message|body|note|description|query/,
    values: ["(fix|check|call|send|read) the (lamp|report|bank|door|letter) (today|first|again)"],
  },
  { about: /./, values: ["(alpha|amber|cedar|delta|ember|harbor|lotus|maple|onyx|quartz)"] },
];
