"""What was found, in an error message: never more of it than a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LONGEST = 400
"""Characters of what was found that a message holds at most."""

MOST_NAMES = 8
"""Names of files or classes that a message lists at most."""


def quote(found: object, limit: int = LONGEST) -> str:
    """``repr`` of a value, cut to ``limit`` characters without working out the rest of it.

    Example:
        >>> quote({"classes": ["road"]})
        "{'classes': ['road']}"
        >>> len(quote("x" * 10**6))
        400
    """
    text = ""
    for piece in _pieces(found):
        text += piece
        if len(text) > limit:
            break
    return shorten(text, limit)


def shorten(text: str, limit: int = LONGEST) -> str:
    """The beginning of a text of more than ``limit`` characters, with dots at its end."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def join(names: Iterable[object], *, limit: int = LONGEST, most: int = MOST_NAMES) -> str:
    """Names with commas between them; the last are counted where they are too many or too long.

    Example:
        >>> join(["road", "sky", "tree"], limit=10)
        'road, sky and 1 more'
    """
    texts = [shorten(str(name)) for name in names]
    length = 0
    for place, text in enumerate(texts):
        length += len(text) + 2
        if place == most or (place and length > limit + 2):
            return f"{', '.join(texts[:place])} and {len(texts) - place} more"
    return ", ".join(texts)


def _pieces(found: object) -> Iterator[str]:
    """The parts of ``repr(found)``, one after the other; lists may hold each other many times."""
    if isinstance(found, str | bytes):
        yield repr(found[: LONGEST + 1])
    elif isinstance(found, int) and found.bit_length() > 1000:
        yield f"a number of about {int(found.bit_length() * 0.30103)} digits"
    elif type(found) is dict:
        yield "{"
        for place, (key, value) in enumerate(found.items()):
            yield ", " if place else ""
            yield from _pieces(key)
            yield ": "
            yield from _pieces(value)
        yield "}"
    elif type(found) in (list, tuple):
        opening, closing = "[]" if type(found) is list else "()"
        yield opening
        for place, value in enumerate(found):  # type: ignore[arg-type]
            yield ", " if place else ""
            yield from _pieces(value)
        yield ",)" if closing == ")" and len(found) == 1 else closing  # type: ignore[arg-type]
    else:
        yield repr(found)
