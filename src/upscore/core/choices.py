"""Names chosen from a closed list: the message for an unknown one; is it a name or a path?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from upscore.core.quoting import LONGEST, join, quote


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
    listed = f"here are {join(allowed, most=len(allowed))}"
    nearest = difflib.get_close_matches(str(name)[:LONGEST], allowed, n=1)
    return f"did you mean {quote(nearest[0])}? T{listed}" if nearest else f"t{listed}"


def is_path(name_or_path: str | Path) -> bool:
    r"""Whether a setting that takes a built-in name or a YAML file holds a file's path.

    A ``Path``, a text that ends in ``.yaml`` or ``.yml``, and a text with ``/`` or ``\`` are paths,
    on every system; other texts are names.
    """
    if isinstance(name_or_path, Path):
        return True
    text = name_or_path.lower()
    return text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text
