"""JSON of any origin: what it can hold, and its one reader."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from upscore.core.quoting import quote

JSON = str | int | float | bool | None | Sequence["JSON"] | Mapping[str, "JSON"]
"""Any JSON value."""

JSONObject = dict[str, JSON]
"""A JSON object; for sources of proposals and edges: name (``kind``) and every parameter."""

DEEPEST = 64
"""Lists and objects inside each other."""
MOST_DIGITS = 300
"""Of a whole number; longer ones are no floating point numbers either."""


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: not UTF-8, not JSON, too deep, a number that is not finite or too long, or a key
            twice in an object.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        content = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_refuse,
        )
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [content]
    for _ in range(DEEPEST):
        level = (
            [
                child
                for parent in level
                for child in (parent.values() if isinstance(parent, dict) else parent)
                if isinstance(child, dict | list)
            ]
            if isinstance(content, dict | list)
            else []
        )
        if not level:
            return content
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"more than {DEEPEST} lists and objects inside each other"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {quote(twice)} is given twice")
    return made


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{quote(text)} is too large for a number")
    return number


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
