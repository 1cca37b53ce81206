"""Names chosen from a list, and names of files: messages for unknown ones, with the nearest."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from upscore.core.files import exists
from upscore.core.quoting import LONGEST, join, quote
from upscore.errors import OptionError, SettingsError

MOST_LOOKED_AT = 10_000
"""Files of a folder that are compared with a misspelt name."""


def unknown_choice(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Message for a name that is not in ``allowed``: ``no recipe 'fcn8'; did you mean ...``.

    Args:
        kind: what is chosen, such as ``recipe`` or ``class``.
        name: what was given.
        allowed: all valid names, in the order in which they are listed.
    """
    return f"no {kind} {quote(name)}; {suggest(name, allowed)}"


def suggest(name: object, allowed: Iterable[str]) -> str:
    """``did you mean 'fcn8s'? There are fcn32s, fcn16s, fcn8s``, or the list alone."""
    allowed = list(allowed)
    listed = _listed(allowed)
    nearest = difflib.get_close_matches(str(name)[:LONGEST], allowed, n=1)
    return f"did you mean {quote(nearest[0])}? T{listed}" if nearest else f"t{listed}"


def _listed(allowed: Sequence[str]) -> str:
    return f"here are {join(allowed, most=len(allowed))}"


def chosen(option: str, names: Sequence[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """The names of a list that an option takes, each once, in the order of ``allowed``.

    Args:
        option: the name of the argument.

    Raises:
        SettingsError: none, or an unknown one.
    """
    allowed = list(allowed)
    if isinstance(names, str):
        raise SettingsError(f"{option} is {quote(names)}; expected a list, such as [{names!r}]")
    unknown = next((name for name in names if name not in allowed), None)
    if unknown is not None or not names:
        found = (
            f"is empty; t{_listed(allowed)}"
            if unknown is None
            else (f"has no {quote(unknown)}; {suggest(unknown, allowed)}")
        )
        raise OptionError(option, f"{found}, separated by commas")
    return tuple(name for name in allowed if name in names)


def near_path(path: Path, names: Iterable[str] = ()) -> str:
    """`` (did you mean photos/val?)`` if something of nearly that name is there, else empty.

    A link that leads nowhere, or in a circle, is named as such.

    Args:
        path: where nothing is.
        names: that could have been meant too, such as those of networks.
    """
    place = path
    while not exists(place.parent) and place.parent != place:
        place = place.parent
    try:
        found = [one.name for one in itertools.islice(os.scandir(place.parent), MOST_LOOKED_AT)]
    except OSError:
        found = []
    if place.name in found:
        return f" ({place} is a link that leads nowhere)"
    known = {name.lower(): str(place.parent / name) for name in found if name[0] != "."}
    known |= {name.lower(): name for name in names if path.name == str(path)}
    nearest = difflib.get_close_matches(place.name.lower(), known, n=1, cutoff=0.7)
    if not nearest:
        return ""
    whole = Path(known[nearest[0]], path.relative_to(place))
    return f" (did you mean {whole if exists(whole) else known[nearest[0]]}?)"


def is_path(name_or_path: str | Path) -> bool:
    r"""Whether a setting that takes a built-in name or a YAML file holds a file's path.

    A ``Path``, a text that ends in ``.yaml`` or ``.yml``, and a text with ``/`` or ``\`` are paths,
    on every system; other texts are names.
    """
    if isinstance(name_or_path, Path):
        return True
    text = name_or_path.lower()
    return text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text
