"""From the words of a command line to a call: one verb is loaded, mistakes are one or two lines.

tyro reads the options of the verb's function. What it would answer to a mistake with is replaced
by a message in the style of all others, and nothing runs before all words are understood.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import re
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from upscore.cli.habits import MISSING_VERBS, VERB_HABITS, habit
from upscore.cli.help_texts import group_help, overview, verb_help
from upscore.cli.verbs import GROUPS, VERBS, Verb
from upscore.core.extras import require_extras
from upscore.core.quoting import quote
from upscore.errors import SettingsError

HELP = ("-h", "--help")


class UsageError(SettingsError):
    """Words that are no command; ``verb`` is the one that they are about, or empty."""

    def __init__(self, message: str, verb: str = "") -> None:
        super().__init__(message)
        self.verb = verb


def parse(words: Sequence[str]) -> Callable[[], Any]:
    """The call that a command line means.

    Raises:
        UsageError: a mistake in the words.
        MissingExtraError: the verb needs packages that are not installed.
    """
    words = list(words)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in HELP:
        return functools.partial(print, overview())
    if words[0] in ("--version", "-V", "version"):
        return _print_version
    if words[0] in GROUPS:
        if len(words) == 1 or words[1] in HELP:
            text = group_help(words[0])
            if len(words) > 1:
                return functools.partial(print, text)
            names = [v.name.split()[1] for v in VERBS if v.group == words[0]]
            raise UsageError(
                f"name one of {', '.join(names)}; see upscore help {words[0]}", words[0]
            )
        name, rest = " ".join(words[:2]), words[2:]
    else:
        name, rest = words[0], words[1:]
    verb = next((verb for verb in VERBS if verb.name == name), None)
    if verb is None:
        raise UsageError(_unknown_verb(name))
    return _call(verb, rest)


def _print_version() -> None:
    from upscore import __version__

    print(f"upscore {__version__}")


def _unknown_verb(name: str) -> str:
    names = [verb.name for verb in VERBS]
    group, _, last = name.partition(" ")
    if name.startswith("-"):
        return (
            f"{quote(name)}: options come after a command, for example upscore train --data PHOTOS"
        )
    if name in MISSING_VERBS:
        return f"there is no command {quote(name)}; {MISSING_VERBS[name]}"
    if group in GROUPS and last:
        names = [n for n in names if n.startswith(f"{group} ")]
    meant = VERB_HABITS.get(last or group) if group not in GROUPS else None
    if meant is None:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
        if not close and group in GROUPS:
            shown = ", ".join(n.split()[1] for n in names)
            return f"{group} has no command {quote(last)}; it has {shown}"
        meant = close[0] if close else None
    if meant:
        return f"no command {quote(name)}; did you mean upscore {meant}?"
    return f"no command {quote(name)}; see upscore --help"


@dataclasses.dataclass(frozen=True)
class _Option:
    """A flag of a verb, or a word without one."""

    name: str
    required: bool
    positional: bool = False


def _call(verb: Verb, words: list[str]) -> Callable[[], Any]:
    function = verb.load()
    if any(word in HELP for word in words):
        return functools.partial(print, verb_help(verb, lambda: _tyro(verb, function, ["--help"])))
    _check_options(verb, _options(function), words)
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            call: Callable[[], Any] = _tyro(verb, function, words)
    except SystemExit as end:
        text = _plain(output.getvalue())
        about_a_value = text.startswith(
            "--"
        )  # to which the example of a whole command says nothing
        hint = f"; see upscore help {verb.name}" if about_a_value else _hint(verb)
        raise UsageError(f"{text}{hint}", verb.name) from end
    require_extras(f"upscore {verb.name}", *verb.extras)
    return call


def _tyro(verb: Verb, function: Callable[..., Any], words: Sequence[str]) -> Any:
    @functools.wraps(function)
    def capture(*args: Any, **kwargs: Any) -> Any:
        return functools.partial(function, *args, **kwargs)

    return tyro.cli(
        capture,
        prog=f"upscore {verb.name}",
        args=list(words),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def _options(function: Callable[..., Any]) -> list[_Option]:
    hints = typing.get_type_hints(function, include_extras=True)
    found: list[_Option] = []
    for parameter in inspect.signature(function).parameters.values():
        required = parameter.default is inspect.Parameter.empty
        positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        found += _expanded(parameter.name, hints[parameter.name], required, positional)
    return found


def _expanded(name: str, hint: Any, required: bool, positional: bool = False) -> list[_Option]:
    """An option, or those of the fields where it is a dataclass, as tyro names them."""
    kind, *extras = typing.get_args(hint) or [hint]
    if not dataclasses.is_dataclass(kind):
        renamed = next((one.name for one in extras if getattr(one, "name", None)), name)
        return [_Option(renamed, required, positional)]
    hints = typing.get_type_hints(kind, include_extras=True)
    found: list[_Option] = []
    for one in dataclasses.fields(kind):
        missing = one.default is one.default_factory is dataclasses.MISSING
        found += _expanded(one.name, hints[one.name], missing)
    return found


def flags_of(verb: Verb) -> list[str]:
    """The options of a verb, without dashes."""
    options = _options(verb.load())
    return [option.name.replace("_", "-") for option in options if not option.positional]


def _check_options(verb: Verb, options: Sequence[_Option], words: Sequence[str]) -> None:
    """Raises UsageError for an option that is not there, or one that is missing."""
    flags = [option.name.replace("_", "-") for option in options if not option.positional]
    given = set()
    for place, word in enumerate(words):
        if word == "--":
            break
        if not re.match(r"--?[A-Za-z]", word):
            continue
        typed = word.lstrip("-").partition("=")[0]
        name = typed.replace("_", "-")
        given.add(name)
        if name not in flags or not word.startswith("--"):
            value = word.partition("=")[2] or next(iter(words[place + 1 : place + 2]), "")
            value = "" if value.startswith("-") else value
            text = _unknown_option(verb, word.partition("=")[0], name, flags, value)
            raise UsageError(text, verb.name)
    missing = [
        f"--{option.name.replace('_', '-')}"
        for option in options
        if option.required and not option.positional and option.name.replace("_", "-") not in given
    ]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        folder = next((word for word in words if Path(word).is_dir()), None)
        if missing == ["--data"] and folder:
            raise UsageError(
                f"--data is missing; type: upscore {verb.name} --data {folder}", verb.name
            )
        raise UsageError(f"{' and '.join(missing)} {are} missing{_hint(verb)}", verb.name)


def _hint(verb: Verb) -> str:
    example = verb.examples[min(1, len(verb.examples) - 1)]
    return f"; for example {example}"


def _unknown_option(verb: Verb, typed: str, name: str, flags: Sequence[str], value: str) -> str:
    if name in flags:
        return f"options have two dashes: type --{name}"
    answer = habit(verb.name, name, value)
    if answer and not (answer.startswith("--") and answer[2:].split()[0] not in flags):
        return f"no option {quote(typed)}; type {answer}"
    close = difflib.get_close_matches(name, flags, n=1)
    if close:
        return f"no option {quote(typed)}; did you mean --{close[0]}?"
    return f"no option {quote(typed)}; it has {', '.join(f'--{flag}' for flag in flags)}"


_WORDS = (
    (r"^Missing value for argument '([^']+)'.*", r"\1 needs a value after it"),
    (r"^Missing from upscore [a-z -]+: (\S+).*", r"\1 is missing"),
    (r"^invalid choice (\S+) for argument '([^']+)'. Expected one of \((.*?),?\)\.?$",
     r"\2 is \1; allowed: \3"),
    (r"^Unrecognized options: (.*\.json)$", r"--json prints to stdout: type --json > \1"),
    (r"^Unrecognized options: (.*)", r"unexpected \1: there are more words than it takes"),
    (r"^Error parsing (\S+?):", r"\1:"),
    (r"could not convert string to float:", "expected a number, found"),
    (r"invalid literal for int\(\) with base 10:", "expected a whole number, found"),
    (r"no type matching .*(expected an? [a-z ]+, found '.*')$", r"\1"),
)  # fmt: skip
"""Words of tyro and Python about wrong values, and plain ones."""


def _plain(text: str) -> str:
    """The first sentence of tyro's message: a title, a line, the sentence, and a line."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    rules = [number for number, line in enumerate(lines) if line and not line.strip("-")]
    found = " ".join(lines[rules[0] + 1 : rules[1]]) if len(rules) > 1 else " ".join(lines)
    for theirs, ours in _WORDS:
        found = re.sub(theirs, ours, found)
    return found or "wrong usage"
