"""``upscore completion``: scripts that complete commands and options in a shell."""

from __future__ import annotations

from typing import Literal

from tyro.conf import Positional

from upscore.cli.console import keep_result
from upscore.cli.verbs import GROUPS, VERBS


def completion(shell: Positional[Literal["bash", "zsh", "fish"]], /) -> None:
    """Print a script that completes commands and options.

    bash: add  eval "$(upscore completion bash)"  to ~/.bashrc; zsh: the same with zsh in ~/.zshrc;
    fish: upscore completion fish > ~/.config/fish/completions/upscore.fish

    Args:
        shell: The shell that you use.
    """
    text = _fish() if shell == "fish" else _bash(zsh=shell == "zsh")
    keep_result({"script": text})
    print(text)


def _words() -> dict[str, list[str]]:
    """By words typed so far (``""``, ``data``, ``train``), what may follow."""
    from upscore.cli.parsing import flags_of

    tops = dict.fromkeys(verb.group or verb.name for verb in VERBS)
    found = {"": [*tops, "help"]}
    found |= {group: [v.name.split()[1] for v in VERBS if v.group == group] for group in GROUPS}
    return found | {verb.name: [f"--{flag}" for flag in flags_of(verb)] for verb in VERBS}


def _bash(*, zsh: bool) -> str:
    cases = "\n".join(
        f'    "{typed}") words="{" ".join(words)}" ;;' for typed, words in _words().items() if typed
    )
    begin = "autoload -U +X bashcompinit && bashcompinit\n" if zsh else ""
    return f"""{begin}_upscore() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  local one="${{COMP_WORDS[1]}}" two="${{COMP_WORDS[1]}} ${{COMP_WORDS[2]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(_words()[""])}" -- "$current"))
    return
  fi
  if [ "$COMP_CWORD" -gt 2 ]; then
    case "$two" in
{cases}
    esac
  fi
  if [ -z "$words" ]; then
    case "$one" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _upscore upscore"""


def _fish() -> str:
    lines = []
    for typed, words in _words().items():
        if not typed:
            when = "__fish_use_subcommand"
        else:
            when = " ; and ".join(f"__fish_seen_subcommand_from {word}" for word in typed.split())
        for word in words:
            what = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            files = " -f" if not word.startswith("--") else ""
            lines.append(f"complete -c upscore{files} -n '{when}' {what}")
    return "\n".join(lines)
