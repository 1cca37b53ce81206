"""Damage to files: bytes of any file, and values of text files."""

from __future__ import annotations

import random
import re

NASTY = (
    *("0", "-1", "1e999", "-1e999", "NaN", ".nan", ".inf", "1" + "0" * 400, "9" * 5000, "1e-320"),
    *("null", "~", "true", '""', '"\\u0000"', "''", "[]", "{}", "[[]]", "[1, [2, [3]]]", "{a: 1}"),
    *('{"a": {"b": 1}}', "[" * 3000 + "]" * 3000, '{"a":' * 500 + "1" + "}" * 500, "x" * 5000),
    *("2026-13-45", "2026-11-28", "0x", "0xfg", "0b2", "1:60", "!!bool x", '!!int ""', "!!int 0x"),
    *("!!timestamp x", "!!float x", "!!binary x", "!!map [a]", "!!seq {a: 1}", "!!set [a]"),
    *("!!omap [a]", "!!pairs {a: 1}", "!!python/object:os.system x", "*a", "&a [*a]", "<<: *a"),
    *(
        "{[1]: 2}",
        "? [a]\n: b",
        "../../etc/passwd",
        "/etc/*",
        "**",
        "*",
        "{name}",
        "{split}",
        "\x07",
    ),
    *("=1+1", "\ufeff", "\ud7ff", "é", "\u202e", "\t", "\n", "- ", ": ", "# ", "---\n", "|", ">"),
    *("1.5", "-0", "65536", "4294967296", "9223372036854775808", "1_000", "01", "1,2,3", "#ff0000"),
)
"""Values that readers have failed on, or could."""

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

TOKEN: re.Pattern[bytes] = re.compile(rb"[^\s,:\[\]{}\"']+")


def damage(content: bytes, rng: random.Random, *, is_text: bool) -> bytes:
    """``content`` with one to four changes; text mostly gets other values in place of its own."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        of_text = is_text and rng.random() < 0.8
        content = _value(content, rng) if of_text else _bytes(content, rng)
    return content


def _value(content: bytes, rng: random.Random) -> bytes:
    tokens = list(TOKEN.finditer(content))
    if not tokens:
        return rng.choice(NASTY).encode()
    begin, end = rng.choice(tokens).span()
    kind = rng.randrange(8)
    if kind == 0:  # a line twice, or not at all
        lines = content.splitlines(keepends=True)
        place = rng.randrange(len(lines))
        lines[place : place + 1] = [] if rng.random() < 0.5 else [lines[place]] * 2
        return b"".join(lines)
    if kind == 1:  # another token of the file
        other: bytes = rng.choice(tokens).group()
        return content[:begin] + other + content[end:]
    return content[:begin] + rng.choice(NASTY).encode("utf-8", "replace") + content[end:]


def _bytes(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return rng.randbytes(rng.randrange(64))
    # headers and footers are short beside what is between them
    near = rng.choice((len(content), 200, 64))
    place = rng.randrange(min(near, len(content)))
    if rng.random() < 0.3:
        place = len(content) - 1 - place
    length = rng.choice((1, 1, 2, 4, 8, 64, 1000))
    kind = rng.randrange(6)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[place + length :]
    if kind == 2:
        return content[:place] + content[place : place + length] * 2 + content[place + length :]
    if kind == 3:
        size = rng.choice((1, 2, 4))
        number = rng.choice(EDGES) & ((1 << 8 * size) - 1)
        edge = number.to_bytes(size, rng.choice(("little", "big")))
        return content[:place] + edge + content[place + size :]
    if kind == 4:
        return content[:place] + rng.randbytes(length) + content[place + length :]
    flipped = content[place] ^ (1 << rng.randrange(8))
    return content[:place] + bytes([flipped]) + content[place + 1 :]
