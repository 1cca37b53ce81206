"""What a terminal would obey is escaped, and nothing else."""

from __future__ import annotations

import pytest

from upscore.core.printable import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x08\x07\x00\x7f", r"a\rb\x08\x07\x00\x7f"),
        ("gpj\u202e.exe", r"gpj\u202e.exe"),
        ("\u2066a\u2069\u200f\u061c", r"\u2066a\u2069\u200f\u061c"),
        ("a\u2028b\x85", r"a\u2028b\x85"),
        ("caf\udce9", r"caf\udce9"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Straße, фото, 写真, \u05d0, \U0001f468\u200d\U0001f469", None),
    ],
)
def test_printable(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)
    assert printable(printable(text)) == printable(text)


def test_one_line() -> None:
    assert one_line("a\nb\tc\x1b") == r"a\nb\tc\x1b"
