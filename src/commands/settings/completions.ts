import { z } from "zod";
import { commonSettings } from "../../settings/common.ts";
import { field, fieldsOf } from "../../settings/field.ts";
import { command } from "../command.ts";
import { table } from "../mod.ts";

const shells = ["bash", "zsh", "fish", "pwsh"] as const;

export const completions = command({
  examples: [
    "whet completions bash > ~/.local/share/bash-completion/completions/whet",
    'whet completions zsh > "${fpath[1]}/_whet"',
    "whet completions fish > ~/.config/fish/completions/whet.fish",
    "whet completions pwsh >> $PROFILE",
  ],
  settings: z.strictObject({
    shell: field(z.enum(shells), { value: "SHELL", positional: 0, help: shells.join(", ") }),
  }),
  async run({ shell }, io) {
    const common = fieldsOf(commonSettings).map((f) => f.flag);
    const words: Record<string, string[]> = {};
    for (const entry of table) {
      const fields = fieldsOf((await entry.load()).settings);
      const named = fields.filter((f) => f.info.positional === undefined).map((f) => f.flag);
      words[entry.name] = [...named, ...common, "--help"];
    }
    io.data(scripts[shell](words));
  },
});

type Words = Readonly<Record<string, readonly string[]>>;

/** The words that may stand after "whet" or after the first word of a two-word command. */
function tree(words: Words): Record<string, string[]> {
  const next: Record<string, string[]> = { "": [] };
  for (const name of Object.keys(words)) {
    const [first, second] = name.split(" ") as [string, string | undefined];
    if (!next[""]!.includes(first)) next[""]!.push(first);
    if (second) (next[first] ??= []).push(second);
  }
  return next;
}

function bash(words: Words): string {
  const next = tree(words);
  const cases = Object.entries(words).map(([name, flags]) =>
    `    "${name}") flags="${flags.join(" ")}" ;;`
  );
  const subs = Object.entries(next).filter(([first]) => first !== "")
    .map(([first, list]) => `    ${first}) words="${list.join(" ")}" ;;`);
  return `_whet() {
  local word="\${COMP_WORDS[COMP_CWORD]}" first="\${COMP_WORDS[1]}" second="\${COMP_WORDS[2]}"
  local words="" flags=""
  if [ "$COMP_CWORD" -eq 1 ]; then words="${next[""]!.join(" ")} help"; fi
  if [ "$COMP_CWORD" -eq 2 ]; then case "$first" in
${subs.join("\n")}
  esac; fi
  case "$first $second" in
${cases.filter((line) => line.includes(" ", 6) && /"\S+ \S+"\)/.test(line)).join("\n")}
    *) case "$first" in
${cases.filter((line) => /"\S+"\)/.test(line) && !/"\S+ \S+"\)/.test(line)).join("\n")}
    esac ;;
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$word")); [ -n "$words" ] || COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _whet whet`;
}

/** zsh runs the bash function through bashcompinit. */
function zsh(words: Words): string {
  return `#compdef whet
autoload -U +X bashcompinit && bashcompinit
${bash(words)}`;
}

function fish(words: Words): string {
  const lines: string[] = [];
  const next = tree(words);
  lines.push(`complete -c whet -n __fish_use_subcommand -a "${next[""]!.join(" ")} help"`);
  for (const [first, list] of Object.entries(next)) {
    if (first === "") continue;
    const none = list.map((word) => `not __fish_seen_subcommand_from ${word}`).join("; and ");
    lines.push(
      `complete -c whet -n "__fish_seen_subcommand_from ${first}; and ${none}" -a "${
        list.join(" ")
      }"`,
    );
  }
  for (const [name, flags] of Object.entries(words)) {
    const seen = name.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`).join(
      "; and ",
    );
    for (const flag of flags) lines.push(`complete -c whet -n "${seen}" -l ${flag.slice(2)}`);
  }
  return lines.join("\n");
}

function pwsh(words: Words): string {
  const quoted = (list: readonly string[]) => list.map((word) => `'${word}'`).join(",");
  const next = tree(words);
  return `Register-ArgumentCompleter -Native -CommandName whet -ScriptBlock {
  param($word, $ast, $cursor)
  $next = @{ ${Object.entries(next).map(([k, v]) => `'${k}' = @(${quoted(v)})`).join("; ")} }
  $flags = @{ ${Object.entries(words).map(([k, v]) => `'${k}' = @(${quoted(v)})`).join("; ")} }
  $typed = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($word) { $typed = @($typed | Select-Object -SkipLast 1) }
  $first = if ($typed.Count -gt 0) { $typed[0] } else { '' }
  $both = if ($typed.Count -gt 1) { "$first $($typed[1])" } else { $first }
  $list = if ($word.StartsWith('-')) {
    if ($flags.ContainsKey($both)) { $flags[$both] } else { $flags[$first] }
  } elseif ($typed.Count -lt 2) { $next[$first] }
  $list | Where-Object { $_ -like "$word*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_)
  }
}`;
}

const scripts: Readonly<Record<typeof shells[number], (words: Words) => string>> = {
  bash,
  zsh,
  fish,
  pwsh,
};
